"""Batches of windows over the tokens of a split, and `RandomWindows` over a single stream.

The windows are chosen by a `WindowRows`: `RandomWindows`, `contiguous.ContiguousWindows` or
`permuted_windows.PermutedWindows`. In a stream the tokens of all examples are concatenated. A
window of T + 1 tokens w gives inputs w[:-1] and targets w[1:]; there is no start token. With T = 3:

    stream           5 6 7 8 9 4 3
    window at 1        6 7 8 9          inputs 6 7 8, targets 7 8 9
    disjoint windows 5 6 7 8            inputs 5 6 7, targets 6 7 8
                           8 9 4 3      inputs 8 9 4, targets 9 4 3
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import seqio
import tensorflow as tf

from lm.data.batching import stream
from lm.data.batching.batches import Batches
from lm.data.batching.evaluation_batches import EvaluationBatches
from lm.data.batching.pipeline import row_fingerprint, task_fingerprint, vocabulary_sizes
from lm.data.mapping import mapped
from lm.data.registry import task_registry
from lm.data.rows import packing
from lm.data.rows.features import needed
from lm.data.rows.packing import Features
from lm.errors import UserError
from lm.parts import part
from lm.ranges import NonNegativeInt, PositiveInt, Seed

TARGETS = ("targets",)


class WindowRows(Protocol):
    """Makes rows of T tokens from examples; constructed with `length` = T and a `vocabulary`.

    Attributes:
        settings: everything that determines the rows, as plain JSON.
        keeps_text: whether a pass predicts every token, so that bits per byte are defined.
    """

    settings: Any
    keeps_text: bool

    def endless(self, examples: tf.data.Dataset, batch_size: int, seed: int) -> tf.data.Dataset:
        """Returns endless rows, in the order of the batches."""

    def one_pass(self, examples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        """Returns the rows of one pass, in the order of the batches."""


@part
class RandomWindows:
    """Windows at independent, uniformly random positions.

    An evaluation pass has disjoint windows in order: every token but the first is predicted exactly
    once. The last window is padded.

    Args:
        length: T.
        vocabulary: of the tokens.

    Raises:
        UserError: the split has at most T tokens.
    """

    settings = "RandomWindows"
    keeps_text = True

    def __init__(self, *, length: PositiveInt, vocabulary: seqio.Vocabulary) -> None:
        del vocabulary
        self.length = length

    def endless(self, examples: tf.data.Dataset, batch_size: int, seed: int) -> tf.data.Dataset:
        """Returns rows at stateless random positions 0 … N − T − 1."""
        values, length = token_stream(examples), self.length
        num_starts = len(values) - length
        if num_starts < 1:
            raise UserError(
                f"a split of {len(values)} tokens is too small for windows of {length} + 1"
            )

        def window(number: tf.Tensor) -> Features:
            key = tf.stack([tf.cast(seed, tf.int64), number])
            start = tf.random.stateless_uniform([], key, 0, num_starts, tf.int64)
            return _row(values[start : start + length + 1], length)

        return mapped(tf.data.Dataset.range(2**62), window)

    def one_pass(self, examples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        """Returns the rows that start at 0, T, 2T, … up to the last token."""
        values, length = token_stream(examples), self.length
        starts = tf.data.Dataset.range(0, len(values) - 1, length)
        return mapped(starts, lambda start: _row(values[start : start + length + 1], length))


@part
class Windows(Batches):
    """Batches of windows over the tokens of a split, which are held in memory.

    Args:
        mixture_or_task_name: name of a registered task.
        split: name of the split.
        lengths: `{"targets": T}`.
        batch_size: rows of the global batch.
        seed: of random choices, such as positions or the order of documents.
        rows: factory of the `WindowRows`.
        vocabulary: replaces the task's own, if given.
        preprocessors: SeqIO preprocessors applied after the task's own.
        prefetch: number of batches to prepare in advance.
        process_index: index of this process; see `Batches`.
        process_count: number of processes.

    Attributes:
        vocabulary_sizes: feature and task -> number of ids of its tokenizer.

    Raises:
        UserError: the split is too small; and as the `WindowRows`.
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings of one run
        self,
        *,
        mixture_or_task_name: str,
        split: str = "train",
        lengths: Mapping[str, PositiveInt],
        batch_size: PositiveInt,
        seed: Seed,
        rows: Callable[..., WindowRows] = RandomWindows,
        vocabulary: seqio.Vocabulary | None = None,
        preprocessors: Sequence[stream.Preprocessor] = (),
        prefetch: NonNegativeInt = 4,
        process_index: int = 0,
        process_count: int = 1,
    ):
        task = task_registry.task(mixture_or_task_name, split, vocabulary)
        made = _made(rows, task, lengths)
        steps = stream.Steps(lengths, trims=(), preprocessors=preprocessors, seed=seed)
        examples = stream.one_pass(task, split, steps)
        self.vocabulary_sizes = vocabulary_sizes(task, split, TARGETS)
        super().__init__(
            rows=made.endless(examples, batch_size, seed),
            fingerprint={
                **task_fingerprint(task, split),
                **row_fingerprint(lengths, made.settings, preprocessors, seed),
            },
            batch_size=batch_size,
            prefetch=prefetch,
            process_index=process_index,
            process_count=process_count,
        )


@part
def window_batches(
    *,
    mixture_or_task_name: str,
    split: str = "validation",
    lengths: Mapping[str, PositiveInt],
    batch_size: PositiveInt,
    rows: Callable[..., WindowRows] = RandomWindows,
    vocabulary: seqio.Vocabulary | None = None,
    preprocessors: Sequence[stream.Preprocessor] = (),
) -> EvaluationBatches:
    """Returns one pass over the windows of a split, in order. Arguments as in `Windows`."""
    task = task_registry.task(mixture_or_task_name, split, vocabulary)
    made = _made(rows, task, lengths)
    steps = stream.Steps(lengths, trims=(), preprocessors=preprocessors)
    examples = stream.one_pass(task, split, steps)
    return EvaluationBatches(
        examples=examples if made.keeps_text else stream.keep(examples, TARGETS),
        rows=made.one_pass(examples, batch_size),
        batch_size=batch_size,
        num_rows=_no_num_rows,
    )


def _made(
    rows: Callable[..., WindowRows], task: seqio.Task, lengths: Mapping[str, int]
) -> WindowRows:
    """Returns the `WindowRows` of a task."""
    vocabulary = task.output_features["targets"].vocabulary
    return rows(length=needed(lengths, TARGETS)["targets"], vocabulary=vocabulary)


def token_stream(examples: tf.data.Dataset) -> tf.Tensor:
    """Returns the concatenated targets of all examples, int32 [N]."""
    batches = packing.ragged_batches(examples, TARGETS, 1024)
    parts = [batch["targets"].flat_values.numpy() for batch in batches]
    with tf.device("/cpu:0"):
        return tf.constant(np.concatenate([np.zeros(0, np.int32), *parts]))


def _row(window: tf.Tensor, length: int) -> Features:
    """Returns the features of a window of at most T + 1 tokens, padded to T."""
    size = tf.size(window) - 1
    padding = [[0, length - size]]
    real = tf.cast(tf.range(length) < size, tf.int32)
    row = {
        "decoder_input_tokens": tf.pad(window[:-1], padding),
        "decoder_target_tokens": tf.pad(window[1:], padding),
        "decoder_loss_weights": tf.cast(real, tf.float32),
        "decoder_segment_ids": real,
        "decoder_positions": real * tf.range(length),
    }
    return {name: tf.ensure_shape(value, [length]) for name, value in row.items()}


def _no_num_rows(example: object) -> int:
    """The `num_rows` of windows, whose rows do not belong to single examples.

    Raises:
        UserError: always.
    """
    raise UserError("windows run across examples: their rows do not belong to single examples")
