"""Classification tasks in two forms, from one definition.

    for encoders       inputs   [CLS] a fine film [SEP]          label     1
    text to text       inputs   sst2 sentence: a fine film       targets   positive

Both forms have the same source and columns, the same label ids and the same metrics.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import seqio
import tensorflow as tf

from lm.data.mapping import mapped
from lm.data.preprocessing import text_pairs
from lm.data.registry.answers import Answer, LabelVocabulary
from lm.data.rows.packing import Features
from lm.data.storage.readers import Row
from lm.data.vocabulary import byte_vocabulary
from lm.errors import UserError

Metric = Callable[..., Mapping[str, float]]
Preprocessor = Callable[..., tf.data.Dataset]
Postprocess = Callable[..., Any]

KEYS = (text_pairs.FIRST, text_pairs.SECOND)
UNKNOWN = "<unk>"
INVALID = -1


def _as_it_is(answer: Any, **unused: Any) -> Any:
    del unused
    return answer


class Classification(NamedTuple):
    """The definition of a task that labels one text or a pair.

    Attributes:
        source: the examples.
        texts: name of each text in the text-to-text form -> its column, in the order of the pair.
        column: the column of the answer.
        answer: labels, or a score.
        metrics: metric functions of `lm.data.evaluation` on ids or scores, or on the output of
            `postprocess`.
        postprocess: as in SeqIO; turns an id or score into what the metrics compare.
        kept: further columns for `postprocess`.
    """

    source: seqio.DataSource
    texts: Mapping[str, str]
    column: str
    answer: Answer
    metrics: Sequence[Metric]
    postprocess: Postprocess = _as_it_is
    kept: Sequence[str] = ()


class RowCheck(NamedTuple):
    """Finds the defect of a row of a table: an empty text, or an invalid answer.

    Attributes:
        texts: columns of text.
        column: the column of the answer.
        answer: labels, or a score.
    """

    texts: tuple[str, ...]
    column: str
    answer: Answer

    def __call__(self, row: Row) -> tuple[str, str]:
        """Returns kind and detail of the defect, or two empty strings."""
        if empty := [name for name in self.texts if not row[name].strip()]:
            return "empty text", f" (column {empty[0]!r})"
        return self.answer.fault(row[self.column])

    def describe(self) -> Any:
        """Returns everything that determines which rows pass, as plain JSON values."""
        return [list(self.texts), self.column, self.answer.describe()]


def class_form(
    name: str,
    task: Classification,
    *,
    vocabulary: seqio.Vocabulary | None = None,
    join: Preprocessor = text_pairs.join,
) -> seqio.Task:
    """Registers the form for encoders: `inputs`, `token_types`, and `label` or `score`.

    Args:
        name: the task's name.
        task: its definition.
        vocabulary: of the inputs; bytes with sentinels by default.
        join: makes the row of the texts, such as `lm.data.preprocessing.text_pairs.join`.

    Raises:
        UserError: there are more than two texts.
    """
    if not 1 <= len(task.texts) <= len(KEYS):
        raise UserError(f"{name}: {len(task.texts)} columns of text; a row takes one or two")
    keys = dict(zip(KEYS, task.texts.values(), strict=False)) | {task.answer.feature: task.column}
    keys |= {column: column for column in task.kept}
    number = {"add_eos": False, "dtype": task.answer.dtype, "rank": task.answer.rank}
    return seqio.TaskRegistry.add(
        name,
        source=task.source,
        preprocessors=[
            functools.partial(chosen, keys=keys),
            text_pairs.tokenize_second,
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            join,
        ],
        output_features={
            text_pairs.FIRST: text_pairs.row_feature(vocabulary),
            task.answer.feature: seqio.Feature(task.answer, **number),
        },
        postprocess_fn=task.postprocess,
        metric_fns=list(task.metrics),
    )


def text_form(
    name: str, task: Classification, *, benchmark: str, vocabulary: seqio.Vocabulary | None = None
) -> seqio.Task:
    """Registers T5's form: `inputs` with the name of each text, `targets` a label's name or score.

    Args:
        name: the task's name.
        task: its definition.
        benchmark: the first word of the inputs, such as `sst2`.
        vocabulary: bytes by default.

    Source: Raffel et al. 2020 (https://arxiv.org/abs/1910.10683), section 2.4 and appendix D;
    scores are rounded to a fifth, as in their release.
    """
    feature = seqio.Feature(vocabulary or byte_vocabulary())
    written = functools.partial(as_text, benchmark=benchmark, texts=task.texts, column=task.column)
    return seqio.TaskRegistry.add(
        name,
        source=task.source,
        preprocessors=[
            functools.partial(written, answer=task.answer, kept=task.kept),
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            seqio.preprocessors.append_eos_after_trim,
        ],
        output_features=dict.fromkeys(("inputs", "targets"), feature),
        postprocess_fn=functools.partial(answer_of, answer=task.answer, then=task.postprocess),
        metric_fns=list(task.metrics),
    )


def chosen(dataset: tf.data.Dataset, *, keys: Mapping[str, str]) -> tf.data.Dataset:
    """Renames columns to features, `{feature: column}`, and drops the others."""
    return mapped(dataset, lambda row: {name: row[column] for name, column in keys.items()})


def as_text(
    dataset: tf.data.Dataset,
    *,
    benchmark: str,
    texts: Mapping[str, str],
    column: str,
    answer: Answer,
    kept: Sequence[str] = (),
) -> tf.data.Dataset:
    """Returns `inputs` and `targets` as text: "mnli hypothesis: … premise: …", "entailment"."""

    def written(row: Features) -> Features:
        named = (part for name in texts for part in (f"{name}:", row[texts[name]]))
        inputs = tf.strings.join([benchmark, *named], " ")
        more = {name: row[name] for name in kept}
        return {**more, "inputs": inputs, "targets": _answer_text(answer, row[column])}

    return mapped(dataset, written)


def _answer_text(answer: Any, written: tf.Tensor) -> tf.Tensor:
    """Returns a label's name, or a score rounded to a fifth, half to even, with one decimal."""
    number = answer.encode_tf(written)
    if not isinstance(answer, LabelVocabulary):
        return tf.strings.as_string(tf.round(number * 5) / 5, precision=1)
    return tf.gather(tf.constant([*answer.names, UNKNOWN]), number % (len(answer.names) + 1))


def answer_of(text: str, *, answer: Answer, then: Postprocess = _as_it_is, **context: Any) -> Any:
    """Parses a text as a label's name or a number; returns the label's id, the number, or -1."""
    return then(_number_of(text, answer), **context)


def _number_of(text: str, answer: Answer) -> int | float:
    if isinstance(answer, LabelVocabulary):
        return answer.names.index(text) if text in answer.names else INVALID
    kind, _ = answer.fault(text)
    return INVALID if kind else float(text)
