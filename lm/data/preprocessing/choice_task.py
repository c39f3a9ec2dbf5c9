"""Multiple-choice tasks for encoders: each choice is paired with the text, and one is right.

    inputs          [CLS] text [SEP] choice 1 [SEP] [CLS] text [SEP] choice 2 [SEP]
    choice_lengths  number of tokens of each pair
    label           index of the right choice

`lm.data.rows.question_answering.MultipleChoice` makes rows of them.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import seqio
import tensorflow as tf

from lm.data.mapping import mapped
from lm.data.preprocessing import text_pairs
from lm.data.preprocessing.classification_task import Metric, chosen
from lm.data.preprocessing.text_pairs import Cut
from lm.data.rows.packing import Features, Lengths
from lm.data.special_tokens import special_tokens
from lm.errors import UserError

CHOICES, CHOICE_LENGTHS = "choices", "choice_lengths"
_AROUND = 3  # [CLS] and two [SEP]


class Choices(NamedTuple):
    """The definition of a multiple-choice task.

    Attributes:
        source: rows with the columns below.
        text: the column of the text.
        choices: the column of the choices, a list of texts.
        metrics: metric functions of indices, or of the output of `postprocess`.
        label: the column of the right choice's index.
        postprocess: as in SeqIO; turns an index into what the metrics compare.
        kept: further columns for `postprocess`.
    """

    source: seqio.DataSource
    text: str
    choices: str
    metrics: Sequence[Metric]
    label: str = "label"
    postprocess: Callable[..., Any] | None = None
    kept: Sequence[str] = ()


def choice_form(
    name: str,
    task: Choices,
    *,
    vocabulary: seqio.Vocabulary | None = None,
    cut: Cut = text_pairs.cut_first,
) -> seqio.Task:
    """Registers the task.

    Args:
        name: the task's name.
        task: its definition.
        vocabulary: of the inputs; bytes with sentinels by default.
        cut: which of text and choice to truncate, a function of `lm.data.preprocessing.text_pairs`.
    """
    keys = {text_pairs.FIRST: task.text, CHOICES: task.choices, "label": task.label}
    keys |= {column: column for column in task.kept}
    return seqio.TaskRegistry.add(
        name,
        source=task.source,
        preprocessors=[
            functools.partial(chosen, keys=keys),
            tokenize_choices,
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            functools.partial(join_choices, cut=cut),
        ],
        output_features={text_pairs.FIRST: text_pairs.row_feature(vocabulary)},
        postprocess_fn=task.postprocess,
        metric_fns=list(task.metrics),
    )


def tokenize_choices(
    dataset: tf.data.Dataset, output_features: Mapping[str, seqio.Feature]
) -> tf.data.Dataset:
    """Tokenizes the choices into one vector of ids, with `choice_lengths`."""
    vocabulary = output_features[text_pairs.FIRST].vocabulary

    def tokenized(example: Features) -> Features:
        found = tf.map_fn(
            vocabulary.encode_tf,
            example[CHOICES],
            fn_output_signature=tf.RaggedTensorSpec([None], tf.int32, ragged_rank=0),
        )
        lengths = tf.cast(found.row_lengths(), tf.int32)
        made = {**example, CHOICES: found.flat_values, CHOICE_LENGTHS: lengths}
        return made | {"label": tf.cast(example["label"], tf.int32)}

    return mapped(dataset, tokenized)


def join_choices(
    dataset: tf.data.Dataset,
    sequence_length: Lengths,
    output_features: Mapping[str, seqio.Feature],
    *,
    cut: Cut,
) -> tf.data.Dataset:
    """Makes the inputs of all choices, each of `sequence_length["inputs"]` or less.

    Raises:
        UserError: the length leaves no token for text and choice.
    """
    capacity = sequence_length[text_pairs.FIRST] - _AROUND
    if capacity < 2:  # noqa: PLR2004 - one for each
        raise UserError(
            f"TASK_FEATURE_LENGTHS = {dict(sequence_length)}: inputs hold no text beside a choice; "
            "make them longer"
        )
    tokens = special_tokens(output_features[text_pairs.FIRST].vocabulary)

    def joined(example: Features) -> Features:
        text, lengths = example[text_pairs.FIRST], example[CHOICE_LENGTHS]
        first, second = cut(
            tf.fill(tf.shape(lengths), tf.size(text)), lengths, capacity
        )  # [C] each
        starts = tf.cumsum(lengths, exclusive=True)
        of_choices = tf.gather(example[CHOICES], tf.ragged.range(starts, starts + second))
        sep = tf.fill([tf.size(lengths), 1], tokens.sep)
        cls = tf.fill([tf.size(lengths), 1], tokens.cls)
        rows = tf.concat(
            [cls, tf.gather(text, tf.ragged.range(first)), sep, of_choices, sep], axis=1
        )
        # 0 up to the first [SEP], then 1.
        positions = tf.ragged.range(rows.row_lengths())
        is_choice = positions > tf.cast(first[:, None], tf.int64) + 1
        rest = {name: x for name, x in example.items() if not name.startswith(CHOICES)}
        return {
            **rest,
            text_pairs.FIRST: rows.flat_values,
            "token_types": tf.cast(is_choice.flat_values, tf.int32),
            CHOICE_LENGTHS: tf.cast(rows.row_lengths(), tf.int32),
        }

    return mapped(dataset, joined)
