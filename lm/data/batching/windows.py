"""Windows over the stream of a split's tokens, for language models trained without documents.

The tokens of all examples are joined, as the task made them. A window of T + 1
tokens w gives inputs w[:-1] and targets w[1:]; there is no start token. With T = 3:

    stream           5 6 7 8 9 4 3
    window at 1        6 7 8 9          inputs 6 7 8, targets 7 8 9
    disjoint windows 5 6 7 8            inputs 5 6 7, targets 6 7 8
                           8 9 4 3      inputs 8 9 4, targets 9 4 3
"""

from collections.abc import Mapping, Sequence

import numpy as np
import seqio
import tensorflow as tf

from lm.data.batching import stream
from lm.data.batching.batches import Batches
from lm.data.batching.evaluation_batches import EvaluationBatches
from lm.data.batching.pipeline import row_fingerprint, task_fingerprint
from lm.data.mapping import mapped
from lm.data.registry import task_registry
from lm.data.rows import packing
from lm.data.rows.features import needed
from lm.data.rows.packing import Features
from lm.errors import UserError
from lm.parts import part


@part
class RandomWindows(Batches):
    """Batches of windows at positions drawn uniformly at random, each independent of the others.

    Args:
        mixture_or_task_name: name of a registered task.
        split: name of the split.
        lengths: `{"targets": T}`.
        batch_size: windows of the global batch.
        seed: decides the positions.
        vocabulary: replaces the task's own, if given.
        preprocessors: SeqIO preprocessors that follow the task's own.
        prefetch: number of batches made ahead.
        process_index: which process this is, of `process_count`; see `Batches`.
        process_count: number of processes.

    Raises:
        UserError: if the split has no more than T tokens.
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings of one run
        self,
        *,
        mixture_or_task_name: str,
        split: str = "train",
        lengths: Mapping[str, int],
        batch_size: int,
        seed: int,
        vocabulary: seqio.Vocabulary | None = None,
        preprocessors: Sequence[stream.Preprocessor] = (),
        prefetch: int = 4,
        process_index: int = 0,
        process_count: int = 1,
    ):
        task = task_registry.task(mixture_or_task_name, split, vocabulary)
        length = needed(lengths, ("targets",))["targets"]
        examples = stream.one_pass(
            task, split, lengths=lengths, preprocessors=preprocessors, seed=seed, trims=()
        )
        super().__init__(
            rows=_random(token_stream(examples), length, seed),
            fingerprint={
                **task_fingerprint(task, split),
                **row_fingerprint(lengths, "RandomWindows", preprocessors, seed),
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
    lengths: Mapping[str, int],
    batch_size: int,
    vocabulary: seqio.Vocabulary | None = None,
    preprocessors: Sequence[stream.Preprocessor] = (),
) -> EvaluationBatches:
    """Returns disjoint windows in order: every token but the first is predicted exactly once.

    The last window is padded. Arguments as in `RandomWindows`.
    """
    task = task_registry.task(mixture_or_task_name, split, vocabulary)
    length = needed(lengths, ("targets",))["targets"]
    examples = stream.one_pass(task, split, lengths=lengths, preprocessors=preprocessors, trims=())
    return EvaluationBatches(
        examples=examples,
        rows=_disjoint(token_stream(examples), length),
        batch_size=batch_size,
        num_rows=no_num_rows,
    )


def token_stream(examples: tf.data.Dataset) -> np.ndarray:
    """Returns the targets of all examples, one after the other: int32 [N]."""
    batches = packing.ragged_batches(examples, ("targets",), 1024)
    parts = [batch["targets"].flat_values.numpy() for batch in batches]
    return np.concatenate([np.zeros(0, np.int32), *parts])


def _random(tokens: np.ndarray, length: int, seed: int) -> tf.data.Dataset:
    """Returns endless rows at stateless random positions 0 … N − T − 1."""
    num_starts = len(tokens) - length
    if num_starts < 1:
        raise UserError(f"a split of {len(tokens)} tokens has no window of {length} + 1")
    with tf.device("/cpu:0"):
        values = tf.constant(tokens)

    def window(number: tf.Tensor) -> Features:
        key = tf.stack([tf.cast(seed, tf.int64), number])
        start = tf.random.stateless_uniform([], key, 0, num_starts, tf.int64)
        return _row(values[start : start + length + 1], length)

    return mapped(tf.data.Dataset.range(2**62), window)


def _disjoint(tokens: np.ndarray, length: int) -> tf.data.Dataset:
    """Returns the rows that start at 0, T, 2T, … up to the last token."""
    with tf.device("/cpu:0"):
        values = tf.constant(tokens)
    starts = tf.data.Dataset.range(0, len(tokens) - 1, length)
    return mapped(starts, lambda start: _row(values[start : start + length + 1], length))


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


def no_num_rows(example: object) -> int:
    """Raises: no row of a window belongs to one example.

    Raises:
        UserError: rows may hold parts of several.
    """
    raise UserError("windows run across examples: their rows belong to none")
