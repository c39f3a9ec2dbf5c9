"""Classification and regression tasks from a user's own tables, defined in a gin file.

    from lm.data.user_tasks import user_labels
    MIXTURE_OR_TASK_NAME = @user_labels.classification_task()
    user_labels.classification_task.train = 'reviews.tsv'

A table is tab-separated with a header line, or JSON lines (`.jsonl`); `.gz` is decompressed. The
labels are read from the training file. A label of another split that is not among them, a missing
label and an empty text are defects, reported with file and line.
"""

import collections
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import seqio

from lm.data.evaluation.label_metrics import label_sets_f1, pearson, spearman
from lm.data.evaluation.metrics import accuracy
from lm.data.preprocessing import text_pairs
from lm.data.preprocessing.classification_task import (
    Classification,
    Metric,
    Preprocessor,
    RowCheck,
    class_form,
)
from lm.data.registry import task_registry
from lm.data.registry.answers import (
    Answer,
    LabelSetVocabulary,
    LabelVocabulary,
    Names,
    ScoreVocabulary,
    parts_of,
)
from lm.data.storage import fingerprints, readers, sources
from lm.data.storage.record_cache import CachedSource
from lm.data.user_tasks import user
from lm.data.user_tasks.user import Paths
from lm.errors import UserError
from lm.parts import value

_LOG = logging.getLogger(__name__)
RARE = 0.1


@value
def classification_task(  # noqa: PLR0913 - keyword-only settings of one task
    *,
    name: str = "user_labels",
    train: Paths,
    validation: Paths | None = None,
    test: Paths | None = None,
    held_out: float = 0.0,
    texts: str | Sequence[str] = "text",
    label: str = "label",
    labels: Sequence[str] | None = None,
    vocabulary: seqio.Vocabulary | None = None,
    join: Preprocessor = text_pairs.join,
    metrics: Sequence[Metric] = (accuracy,),
    on_error: str = "raise",
) -> str:
    """Registers a task of classifying one or two texts; returns its name.

    Args:
        name: name of the task.
        train: path or glob of the training table.
        validation: the same for the split `validation`.
        test: the same for the split `test`.
        held_out: without validation files, the fraction of the training rows that becomes the split
            `validation`; chosen by content.
        texts: the column of the text, or of both texts of a pair.
        label: the column of the label.
        labels: the labels in the order of their ids; read from the training table by default.
        vocabulary: bytes with sentinels by default.
        join: makes the row of the texts, `text_pairs.join`, which also sets how to truncate them.
        metrics: metric functions of labels, of `lm.data.evaluation`.
        on_error: "raise" stops at the first bad row, naming it; "skip" counts and leaves out.
    """
    columns = _columns(texts, label)
    files = user.given_files(train=train, validation=validation, test=test)
    read = functools.partial(_found, _table(files, columns, on_error), label, _one)
    answer = LabelVocabulary(read if labels is None else {name: name for name in labels})
    source = _table(files, columns, on_error, RowCheck(columns[:-1], label, answer))
    return _register(name, source, held_out, columns, answer, metrics, vocabulary, join)


@value
def label_sets_task(  # noqa: PLR0913 - keyword-only settings of one task
    *,
    name: str = "user_label_sets",
    train: Paths,
    validation: Paths | None = None,
    test: Paths | None = None,
    held_out: float = 0.0,
    texts: str | Sequence[str] = "text",
    labels: str = "labels",
    separator: str = ",",
    vocabulary: seqio.Vocabulary | None = None,
    join: Preprocessor = text_pairs.join,
    metrics: Sequence[Metric] = (label_sets_f1,),
    on_error: str = "raise",
) -> str:
    """Registers a task of multi-label classification of one or two texts; returns its name.

    Args:
        name: name of the task.
        train: path or glob of the training table.
        validation: the same for the split `validation`.
        test: the same for the split `test`.
        held_out: as in `classification_task`.
        texts: the column of the text, or of both texts of a pair.
        labels: the column of the labels; empty for none.
        separator: separates the labels of a row.
        vocabulary: bytes with sentinels by default.
        join: as in `classification_task`.
        metrics: metric functions of sets of labels.
        on_error: as in `classification_task`.
    """
    columns = _columns(texts, labels)
    files = user.given_files(train=train, validation=validation, test=test)
    split = functools.partial(parts_of, separator=separator)
    read = functools.partial(_found, _table(files, columns, on_error), labels, split)
    answer = LabelSetVocabulary(read, separator=separator)
    source = _table(files, columns, on_error, RowCheck(columns[:-1], labels, answer))
    return _register(name, source, held_out, columns, answer, metrics, vocabulary, join)


@value
def regression_task(  # noqa: PLR0913 - keyword-only settings of one task
    *,
    name: str = "user_scores",
    train: Paths,
    validation: Paths | None = None,
    test: Paths | None = None,
    held_out: float = 0.0,
    texts: str | Sequence[str] = "text",
    score: str = "score",
    vocabulary: seqio.Vocabulary | None = None,
    join: Preprocessor = text_pairs.join,
    metrics: Sequence[Metric] = (pearson, spearman),
    on_error: str = "raise",
) -> str:
    """Registers a task of predicting a score of one or two texts; returns its name.

    Args:
        name: name of the task.
        train: path or glob of the training table.
        validation: the same for the split `validation`.
        test: the same for the split `test`.
        held_out: as in `classification_task`.
        texts: the column of the text, or of both texts of a pair.
        score: the column of the score, a number.
        vocabulary: bytes with sentinels by default.
        join: as in `classification_task`.
        metrics: metric functions of scores, of `lm.data.evaluation.label_metrics`.
        on_error: as in `classification_task`.
    """
    columns, scores = _columns(texts, score), ScoreVocabulary()
    files = user.given_files(train=train, validation=validation, test=test)
    source = _table(files, columns, on_error, RowCheck(columns[:-1], score, scores))
    return _register(name, source, held_out, columns, scores, metrics, vocabulary, join)


@value
def rejoined(*, name: str, task: str, join: Preprocessor) -> str:
    """Registers a copy of a task that joins its texts in another way; returns its name.

    Args:
        name: name of the new task.
        task: name of a task for encoders, such as `imdb`.
        join: such as `text_pairs.join` with other settings, `text_pairs.join_cls_last` for
            XLNet, `text_pairs.join_typed_cls` for Funnel.

    Raises:
        UserError: the task does not join texts.

    Example (gin):
        MIXTURE_OR_TASK_NAME = @user_labels.rejoined()
        user_labels.rejoined.name = 'imdb_end'
        user_labels.rejoined.task = 'imdb'
        user_labels.rejoined.join = @text_pairs.join
        text_pairs.join.keep = @text_pairs.keep_end
    """
    found = task_registry.find(task)
    if isinstance(found, seqio.Mixture) or not text_pairs.is_join(found.preprocessors[-1]):
        raise UserError(f"{task} does not join texts for an encoder; name a task such as imdb")
    if user.is_new(name, ["rejoined", task, fingerprints.settings(join)]):
        made = found.replace(name=name, preprocessors=[*found.preprocessors[:-1], join])
        seqio.TaskRegistry.add_provider(name, made)
    return name


def _columns(texts: str | Sequence[str], answer: str) -> tuple[str, ...]:
    """Returns the text columns followed by the answer's column."""
    return (texts, answer) if isinstance(texts, str) else (*texts, answer)


def _register(
    name: str,
    source: CachedSource,
    held_out: float,
    columns: Sequence[str],
    answer: Answer,
    metrics: Sequence[Metric],
    vocabulary: seqio.Vocabulary | None,
    join: Preprocessor,
) -> str:
    """Adds a task of text columns followed by the answer's column."""
    source = user.with_held_out(source, held_out)
    settings = fingerprints.settings([columns, type(answer), list(metrics), join])
    spec = [source.description, settings, vocabulary and fingerprints.describe(vocabulary)]
    if user.is_new(name, spec):
        *texts, column = columns
        task = Classification(source, {text: text for text in texts}, column, answer, metrics)
        class_form(name, task, vocabulary=vocabulary, join=join)
    return name


def _table(
    files: Mapping[str, Paths],
    columns: Sequence[str],
    on_error: str,
    check: readers.Check | None = None,
) -> CachedSource:
    """Returns the source of columns of tables; in JSON the last may be numbers.

    Raises:
        UserError: some files are JSON lines and others are not.
    """
    kinds = {readers.is_jsonl(path) for paths in files.values() for path in _each(paths)}
    if len(kinds) > 1:
        raise UserError("some of the tables are .jsonl and some are not; take one kind")
    if kinds == {True}:
        return sources.jsonl_source(
            files, fields=columns, as_text=columns[-1:], check=check, on_error=on_error
        )
    return sources.tsv_source(files, columns=columns, check=check, on_error=on_error)


def _each(paths: Paths) -> Sequence[Any]:
    return [paths] if isinstance(paths, str | Path) else paths


def _one(written: str) -> list[str]:
    return [written] if written else []


def _found(source: CachedSource, column: str, labels_of: Callable[[str], Sequence[str]]) -> Names:
    """Returns the sorted labels of the training rows.

    Raises:
        UserError: there is only one label, or so many that they cannot be classes.
    """
    written = [row[column] for row in source.examples["train"]()]
    counts = collections.Counter(label for text in written for label in labels_of(text))
    rows, labels = len(written), sorted(counts, key=_order(counts))
    if not 1 < len(labels) <= max(rows // 2, 2):
        raise UserError(
            f"column {column!r} has {len(labels)} different labels in {rows} rows of training; "
            "a classifier needs two or more, each of several rows (numbers: regression_task)"
        )
    rarest, largest = min(labels, key=counts.__getitem__), max(counts.values())
    if counts[rarest] < RARE * largest:
        _LOG.warning(
            "label %r has %d of %d training rows, the most frequent one %d: accuracy says little, "
            "see metrics and class_weights",
            rarest,
            counts[rarest],
            rows,
            largest,
        )
    return {label: label for label in labels}


def _order(labels: Mapping[str, int]) -> Callable[[str], Any]:
    """Returns the key by which labels are sorted: by value if all are numbers, else as text."""
    return int if all(label.isdecimal() for label in labels) else str
