"""Classification tasks from tables: `<name>` for encoders, `<name>_text` for text to text.

Both forms of a task share one definition, see `lm.data.preprocessing.classification_task`. Their
vocabulary is bytes; a run chooses another one with the macro VOCABULARY.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import seqio

from lm.data.evaluation.metrics import accuracy
from lm.data.preprocessing.classification_task import (
    Classification,
    Metric,
    RowCheck,
    class_form,
    text_form,
)
from lm.data.registry.answers import Answer, LabelVocabulary
from lm.data.storage import sources
from lm.data.storage.record_cache import CachedSource

Files = Mapping[str, sources.Lazy]

FOLDS = {"train": "01234567", "validation": "8", "test": "9"}


def add_classification(
    name: str,
    source: seqio.DataSource,
    *,
    texts: Mapping[str, str],
    answer: Answer,
    column: str = "label",
    metrics: Sequence[Metric] = (accuracy,),
    benchmark: str = "",
) -> None:
    """Registers both forms of a task.

    Args:
        name: the task's name; the text-to-text form adds `_text`.
        source: examples with these columns.
        texts: name of each text in the text-to-text form -> its column, in the order of the pair:
            `{"premise": "premise", "hypothesis": "hypothesis"}`.
        answer: labels or a score.
        column: the column with the answer.
        metrics: metric functions of ids or scores.
        benchmark: first word of the text-to-text form, by default the name.
    """
    task = Classification(source, texts, column, answer, metrics)
    class_form(name, task)
    # T5's release orders the texts by name.
    by_name = task._replace(texts=dict(sorted(texts.items())))
    text_form(f"{name}_text", by_name, benchmark=benchmark or name)


def add_table(  # noqa: PLR0913 - keyword-only settings of one task
    name: str,
    files: Files,
    *,
    texts: Mapping[str, str],
    answer: Answer,
    column: str = "label",
    metrics: Sequence[Metric] = (accuracy,),
    benchmark: str = "",
    splits: Callable[[CachedSource], CachedSource] = lambda source: source,
    more_columns: Sequence[str] = (),
) -> None:
    """Registers both forms of a task from tab-separated files; errors name file and line.

    Args:
        name: as in `add_classification`, likewise below.
        files: the files of each split.
        texts: as there.
        answer: as there.
        column: as there.
        metrics: as there.
        benchmark: as there.
        splits: function that makes the splits of the source, such as `by_fold`.
        more_columns: further columns to read, for `splits`.
    """
    check = RowCheck(tuple(texts.values()), column, answer)
    columns = (*texts.values(), column, *more_columns)
    source = splits(sources.tsv_source(files, columns=columns, check=check))
    add_classification(
        name, source, texts=texts, answer=answer, column=column, metrics=metrics,
        benchmark=benchmark,
    )  # fmt: skip


def add_sentences(name: str, files: Files) -> None:
    """Registers both forms of a table of negative and positive sentences, in splits `by_fold`."""
    add_table(
        name,
        files,
        texts={"sentence": "text"},
        answer=numbered("negative", "positive"),
        splits=by_fold,
        more_columns=("fold",),
    )


def held_out(source: CachedSource) -> CachedSource:
    """A source with a tenth of `train`, chosen by content, as the split `validation`."""
    return sources.held_out(source, 0.1)


def by_fold(source: CachedSource) -> CachedSource:
    """A source split by the column `fold` into train (8 folds), validation and test."""
    bind = functools.partial
    rows, about = source.examples["all"], source.fingerprints["all"]
    return CachedSource(
        name=source.name,
        examples={split: bind(_of_folds, rows, folds) for split, folds in FOLDS.items()},
        fingerprints={split: bind(_about_folds, about, folds) for split, folds in FOLDS.items()},
    )


def _of_folds(rows: Callable[[], Any], folds: str) -> Iterator[Mapping[str, Any]]:
    return (row for row in rows() if row["fold"] in folds)


def _about_folds(about: Callable[[], Mapping[str, Any]], folds: str) -> Mapping[str, Any]:
    return {**about(), "folds": folds}


def numbered(*names: str, start: int = 0) -> LabelVocabulary:
    """Labels written as numbers from `start` on.

    Example:
        >>> dict(numbered("negative", "positive").name_of)
        {'0': 'negative', '1': 'positive'}
    """
    return LabelVocabulary({str(number): name for number, name in enumerate(names, start)})


def named(*names: str) -> LabelVocabulary:
    """Labels written by their names.

    Example:
        >>> named("entailment", "neutral").names
        ('entailment', 'neutral')
    """
    return LabelVocabulary({name: name for name in names})
