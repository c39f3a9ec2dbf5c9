"""Rows that go on: B streams of documents side by side, each cut into windows one after the other.

Row r of a batch goes on where row r of the batch before stopped. With B = 2 and T = 3, documents
of 5, 2 and 4 tokens:

    stream 0    a1 a2 a3 | a4 a5        inputs  0 a1 a2 | a3 a4      continues 0 | 1
    stream 1    b1 b2 c1 | c2 c3 c4     inputs  0 b1 0  | c1 c2 c3   continues 0 | 1
    segments                            1 1 1 | 1 1    and    1 1 2 | 1 1 1

Positions are counted inside a row; a model's carry has what came before the row.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import seqio
import tensorflow as tf

from lm.data.batching import stream
from lm.data.batching.batches import Batches
from lm.data.batching.evaluation_batches import EvaluationBatches
from lm.data.batching.pipeline import row_fingerprint, task_fingerprint, vocabulary_sizes
from lm.data.batching.windows import no_num_rows
from lm.data.mapping import mapped
from lm.data.registry import task_registry
from lm.data.rows import packing
from lm.data.rows.features import needed
from lm.data.rows.packing import Features
from lm.errors import UserError
from lm.parts import part
from lm.ranges import NonNegativeInt, PositiveInt, Seed

TARGETS = ("targets",)
_ENDLESS = 2**62


@part
class ContiguousWindows(Batches):
    """Batches whose rows go on from one to the next, every token of a split once an epoch.

    In each epoch the documents are joined in another order and cut into B streams of equal
    length; so a stream may begin inside a document. At the end of an epoch rows
    are padded.

    Features: those of `features.LanguageModel`, and `decoder_continues`, 1 where a row's first
    segment goes on with the last one of the row before. The split is held in memory.

    Args:
        mixture_or_task_name: name of a registered task.
        split: name of the split.
        lengths: `{"targets": T}`.
        batch_size: streams B, the rows of the global batch.
        seed: decides the order of the documents.
        vocabulary: replaces the task's own, if given.
        preprocessors: SeqIO preprocessors that follow the task's own.
        prefetch: number of batches made ahead.
        process_index: which process this is, of `process_count`; see `Batches`.
        process_count: number of processes.

    Attributes:
        vocabulary_sizes: feature and task -> number of ids of its tokenizer.

    Raises:
        UserError: if the split has fewer tokens than there are streams.
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings of one run
        self,
        *,
        mixture_or_task_name: str,
        split: str = "train",
        lengths: Mapping[str, PositiveInt],
        batch_size: PositiveInt,
        seed: Seed,
        vocabulary: seqio.Vocabulary | None = None,
        preprocessors: Sequence[stream.Preprocessor] = (),
        prefetch: NonNegativeInt = 4,
        process_index: int = 0,
        process_count: int = 1,
    ):
        task = task_registry.task(mixture_or_task_name, split, vocabulary)
        length = needed(lengths, TARGETS)["targets"]
        examples = stream.one_pass(
            task, split, lengths=lengths, preprocessors=preprocessors, seed=seed, trims=()
        )
        self.vocabulary_sizes = vocabulary_sizes(task, split, TARGETS)
        super().__init__(
            rows=_endless(documents(examples), batch_size, length, seed),
            fingerprint={
                **task_fingerprint(task, split),
                **row_fingerprint(lengths, "ContiguousWindows", preprocessors, seed),
            },
            batch_size=batch_size,
            prefetch=prefetch,
            process_index=process_index,
            process_count=process_count,
        )


@part
def contiguous_batches(
    *,
    mixture_or_task_name: str,
    split: str = "validation",
    lengths: Mapping[str, PositiveInt],
    batch_size: PositiveInt,
    vocabulary: seqio.Vocabulary | None = None,
    preprocessors: Sequence[stream.Preprocessor] = (),
) -> EvaluationBatches:
    """Returns every document once, from its beginning to its end in one stream.

    Each goes to the stream that is the shortest so far, so that the number of streams changes
    nothing but speed. Arguments as in `ContiguousWindows`.
    """
    task = task_registry.task(mixture_or_task_name, split, vocabulary)
    length = needed(lengths, TARGETS)["targets"]
    examples = stream.one_pass(task, split, lengths=lengths, preprocessors=preprocessors, trims=())
    order, ends = side_by_side(documents(examples), batch_size)
    return EvaluationBatches(
        examples=examples,
        rows=_rows(streams(order, ends), length),
        batch_size=batch_size,
        num_rows=no_num_rows,
    )


class Streams(NamedTuple):
    """Documents one after the other, and where streams of them begin and end.

    Attributes:
        tokens: int32 [1 + N], after one that is none.
        document: int32 [1 + N], the number of each token's document.
        bounds: int64 [B + 1], stream r holds the tokens from bounds[r] to before bounds[r + 1].
    """

    tokens: tf.Tensor
    document: tf.Tensor
    bounds: tf.Tensor


def documents(examples: tf.data.Dataset) -> tf.RaggedTensor:
    """Returns the targets of all examples that have any, int32 [D, (tokens)]."""
    parts = list(packing.ragged_batches(examples, TARGETS, 1024))
    with tf.device("/cpu:0"):
        found = tf.concat([part["targets"] for part in parts], 0)
        return tf.ragged.boolean_mask(found, found.row_lengths() > 0)


def side_by_side(found: tf.RaggedTensor, count: int) -> tuple[tf.RaggedTensor, np.ndarray]:
    """Returns the documents stream by stream, none of them cut, and the bounds of the streams."""
    lengths = np.zeros(count, np.int64)
    owner = np.zeros(found.nrows(), np.int64)
    for number, size in enumerate(found.row_lengths().numpy()):
        owner[number] = lengths.argmin()
        lengths[owner[number]] += size
    order = np.argsort(owner, kind="stable")
    return tf.gather(found, order), np.concatenate([[0], np.cumsum(lengths)])


def streams(found: tf.RaggedTensor, bounds: Any) -> Streams:
    """Returns documents as streams with these bounds."""
    number = tf.cast(found.value_rowids(), tf.int32)
    return Streams(_after(0, found.flat_values), _after(-1, number), tf.convert_to_tensor(bounds))


def _endless(found: tf.RaggedTensor, count: int, length: int, seed: int) -> tf.data.Dataset:
    """Returns the rows of all batches, epoch after epoch."""
    size = int(found.flat_values.shape[0])
    if size < count:
        raise UserError(f"a split of {size} tokens has none for some of BATCH_SIZE = {count} rows")
    bounds = np.arange(count + 1, dtype=np.int64) * size // count
    return epochs(found, seed, lambda shuffled, _: _rows(streams(shuffled, bounds), length))


def epochs(
    found: tf.RaggedTensor,
    seed: int,
    rows: Callable[[tf.RaggedTensor, tf.Tensor], tf.data.Dataset],
) -> tf.data.Dataset:
    """Returns the rows of one epoch after the other, without end.

    Args:
        found: the documents.
        seed: decides their order in each epoch.
        rows: documents in the order of an epoch and its number -> its rows.
    """
    last = found.nrows() - 1

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        key = tf.stack([tf.cast(seed, tf.int64), number])
        order = tf.random.experimental.index_shuffle(tf.range(last + 1), key, last)
        return rows(tf.gather(found, order), number)

    plain = tf.autograph.experimental.do_not_convert(epoch)
    return tf.data.Dataset.range(_ENDLESS).flat_map(plain)


def _rows(made: Streams, length: int) -> tf.data.Dataset:
    """Returns the windows of all streams: the first of each, then the second of each, and so on."""
    count = int(made.bounds.shape[0]) - 1
    longest = tf.reduce_max(made.bounds[1:] - made.bounds[:-1])
    windows = (longest + length - 1) // length
    return mapped(
        tf.data.Dataset.range(windows * count),
        lambda i: _row(made, i % count, i // count, length),
    )


def _row(made: Streams, stream: tf.Tensor, window: tf.Tensor, length: int) -> Features:
    """Returns the features of one window of one stream."""
    end = made.bounds[stream + 1]
    first = tf.minimum(made.bounds[stream] + window * length, end)
    here = slice(first + 1, tf.minimum(first + length, end) + 1)
    before = slice(first, tf.minimum(first + length, end))
    position = tf.range(tf.cast(here.stop - here.start, tf.int32))
    # A stream's first token has no past, even inside a document.
    goes_on = tf.equal(made.document[here], made.document[before])
    goes_on &= (position > 0) | (window > 0)
    starts = ~goes_on | (position == 0)  # of the segments of this row
    segment = tf.cumsum(tf.cast(starts, tf.int32))
    row = {
        "decoder_input_tokens": tf.where(goes_on, made.tokens[before], 0),
        "decoder_target_tokens": made.tokens[here],
        "decoder_loss_weights": tf.ones_like(position, tf.float32),
        "decoder_segment_ids": segment,
        "decoder_positions": position - tf.gather(tf.boolean_mask(position, starts), segment - 1),
    }
    padding = [[0, length - tf.size(position)]]
    padded = {n: tf.ensure_shape(tf.pad(x, padding), [length]) for n, x in row.items()}
    return padded | {"decoder_continues": tf.cast(tf.reduce_any(goes_on[:1]), tf.int32)}


def _after(first: int, values: tf.Tensor) -> tf.Tensor:
    """Returns a vector after one more element."""
    return tf.concat([tf.constant([first], values.dtype), values], 0)
