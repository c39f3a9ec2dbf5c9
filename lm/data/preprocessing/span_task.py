"""Extractive question answering in two forms, from one definition.

    for encoders    inputs  [CLS] Who came? [SEP] A dog came. [SEP]    start 6, end 10
    text to text    inputs  squad question: Who came? context: A dog came.    targets  A dog

In both forms the metrics compare texts with all right answers; "" is no answer.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import seqio
import tensorflow as tf

from lm.data.mapping import mapped
from lm.data.preprocessing import text_pairs
from lm.data.preprocessing.classification_task import Metric, Preprocessor, chosen
from lm.data.preprocessing.token_ends import span_of, tokens_with_ends
from lm.data.rows.packing import Features, Lengths
from lm.data.vocabulary import byte_vocabulary

ANSWERS, ANSWER_START = "answers", "answer_start"
NO_ANSWER = "unanswerable"
WHOLE_TEXT = functools.partial(text_pairs.join, cut=text_pairs.cut_first_alone)


class Extraction(NamedTuple):
    """The definition of a task whose answers are spans of a text.

    Attributes:
        source: rows with the columns below, `answers`, a list of texts, none if the text has no
            answer, and `answer_start`, the first one's first character in the text, or -1.
        metrics: metric functions of texts and all their right answers, such as
            `lm.data.evaluation.answer_metrics.squad`.
        question: the column of the question.
        text: the column of the text.
    """

    source: seqio.DataSource
    metrics: Sequence[Metric]
    question: str = "question"
    text: str = "context"


def class_form(
    name: str,
    task: Extraction,
    *,
    vocabulary: seqio.Vocabulary | None = None,
    join: Preprocessor = WHOLE_TEXT,
) -> seqio.Task:
    """Registers the form for encoders: `inputs`, `token_types`, `start` and `end` of the answer.

    Both are 0 if there is no answer, or it was truncated. The text is not truncated: the feature
    converter splits it into windows.

    Args:
        name: the task's name.
        task: its definition.
        vocabulary: of the inputs; bytes with sentinels by default.
        join: makes the row of question and text; it must keep the start of the text.
    """
    keys = {text_pairs.FIRST: task.question, text_pairs.SECOND: task.text}
    keys |= {ANSWERS: ANSWERS, ANSWER_START: ANSWER_START}
    return seqio.TaskRegistry.add(
        name,
        source=task.source,
        preprocessors=[
            functools.partial(chosen, keys=keys),
            located,
            text_pairs.tokenize_second,
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            functools.partial(join_span, join=join),
        ],
        output_features={text_pairs.FIRST: text_pairs.row_feature(vocabulary)},
        postprocess_fn=right_answers,
        metric_fns=list(task.metrics),
    )


def text_form(
    name: str,
    source: seqio.DataSource,
    *,
    texts: Mapping[str, str],
    benchmark: str,
    metrics: Sequence[Metric],
    vocabulary: seqio.Vocabulary | None = None,
) -> seqio.Task:
    """Registers the text-to-text form; the target is the first right answer, or `unanswerable`.

    Args:
        name: the task's name.
        source: rows with these texts and `answers`.
        texts: name of each text in the inputs -> its column, in order.
        benchmark: the first word of the inputs, such as `squad`.
        metrics: as in `Extraction`.
        vocabulary: bytes by default.

    Source: Raffel et al. 2020 (https://arxiv.org/abs/1910.10683), appendix D.
    Departures: only the first of several right answers is trained on; punctuation is unchanged.
    """
    feature = seqio.Feature(vocabulary or byte_vocabulary())
    return seqio.TaskRegistry.add(
        name,
        source=source,
        preprocessors=[
            functools.partial(as_text, benchmark=benchmark, texts=texts),
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            seqio.preprocessors.append_eos_after_trim,
        ],
        output_features=dict.fromkeys(("inputs", "targets"), feature),
        postprocess_fn=right_answers,
        metric_fns=list(metrics),
    )


def as_text(
    dataset: tf.data.Dataset, *, benchmark: str, texts: Mapping[str, str]
) -> tf.data.Dataset:
    """Returns `inputs` and `targets` as text, and `answers`."""

    def written(row: Features) -> Features:
        named = (part for name, column in texts.items() for part in (f"{name}:", row[column]))
        first = tf.concat([row[ANSWERS], [NO_ANSWER]], 0)[0]
        inputs = tf.strings.join([benchmark, *named], " ")
        return {"inputs": inputs, "targets": first, ANSWERS: row[ANSWERS]}

    return mapped(dataset, written)


def located(
    dataset: tf.data.Dataset, output_features: Mapping[str, seqio.Feature]
) -> tf.data.Dataset:
    """Adds `span` [2], the first and last token of the first answer in the text, -1 for none."""
    vocabulary = output_features[text_pairs.FIRST].vocabulary

    def with_span(example: Features) -> Features:
        text, start = example[text_pairs.SECOND], tf.cast(example[ANSWER_START], tf.int32)
        answer = tf.concat([example[ANSWERS], [""]], 0)[0]
        before = tf.strings.substr(text, 0, tf.maximum(start, 0), unit="UTF8_CHAR")
        first = tf.strings.length(before)
        _, ends = tokens_with_ends(vocabulary, text)
        found = span_of(ends, first, first + tf.strings.length(answer))
        rest = {name: value for name, value in example.items() if name != ANSWER_START}
        return {**rest, "span": tf.where(start >= 0, found, -1)}

    # A text without answers, as in `lm predict`, has no span.
    return mapped(dataset, with_span) if ANSWER_START in dataset.element_spec else dataset


def join_span(
    dataset: tf.data.Dataset,
    sequence_length: Lengths,
    output_features: Mapping[str, seqio.Feature],
    *,
    join: Preprocessor,
) -> tf.data.Dataset:
    """Makes a row of question and text, with the `start` and `end` of the answer in it."""
    joining = seqio.utils.add_kwargs_to_transform(
        join, sequence_length=sequence_length, output_features=output_features
    )

    def placed(example: Features) -> Features:
        is_text = tf.equal(example["token_types"], 1)  # the text and its [SEP]
        first = tf.argmax(is_text, output_type=tf.int32)
        size = tf.reduce_sum(tf.cast(is_text, tf.int32)) - 1
        span = example.pop("span")
        is_there = tf.logical_and(span[0] >= 0, span[1] < size)
        found = tf.where(is_there, span + first, 0)
        return {**example, "start": found[0], "end": found[1]}

    joined = joining(dataset)
    return mapped(joined, placed) if "span" in joined.element_spec else joined


def right_answers(
    output: str, *, example: Mapping[str, Any], is_target: bool = False, **unused: Any
) -> str | list[str]:
    """Replaces a target by all right answers of its example; leaves a prediction unchanged."""
    del unused
    if is_target:
        return [answer.decode() for answer in example[ANSWERS]] or [""]
    return "" if output == NO_ANSWER else output
