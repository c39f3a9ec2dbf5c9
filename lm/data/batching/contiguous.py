"""Contiguous rows: B parallel streams of documents, each cut into consecutive windows.

Row r of a batch continues where row r of the previous batch stopped. With B = 2 and T = 3,
documents of 5, 2 and 4 tokens:

    stream 0    a1 a2 a3 | a4 a5        inputs  0 a1 a2 | a3 a4      continues 0 | 1
    stream 1    b1 b2 c1 | c2 c3 c4     inputs  0 b1 0  | c1 c2 c3   continues 0 | 1
    segments                            1 1 1 | 1 1    and    1 1 2 | 1 1 1

Positions are counted within a row; the model's carry holds what came before the row.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import seqio
import tensorflow as tf

from lm.data.batching.windows import TARGETS
from lm.data.mapping import mapped
from lm.data.rows import packing
from lm.data.rows.packing import Features
from lm.errors import UserError
from lm.parts import part
from lm.ranges import PositiveInt

_ENDLESS = 2**62


@part
class ContiguousWindows:
    """Rows that continue from batch to batch; every token of a split occurs once per epoch.

    In each epoch the documents are joined in a new order and cut into B streams of equal length, so
    a stream may begin inside a document. At the end of an epoch rows are padded. An evaluation pass
    keeps every document whole in one stream, the one that is shortest so far; the number of streams
    then affects only speed.

    Features: those of `features.LanguageModel`, and `decoder_continues`, 1 where a row's first
    segment continues the last segment of the previous row.

    Args:
        length: T.
        vocabulary: of the tokens.

    Raises:
        UserError: the split has fewer tokens than there are streams.
    """

    settings = "ContiguousWindows"
    keeps_text = True

    def __init__(self, *, length: PositiveInt, vocabulary: seqio.Vocabulary) -> None:
        del vocabulary
        self.length = length

    def endless(self, examples: tf.data.Dataset, batch_size: int, seed: int) -> tf.data.Dataset:
        """Returns the rows of all batches, epoch after epoch."""
        found = documents(examples)
        size = int(found.flat_values.shape[0])
        if size < batch_size:
            raise UserError(
                f"a split of {size} tokens is too small for BATCH_SIZE = {batch_size} rows"
            )
        bounds = np.arange(batch_size + 1, dtype=np.int64) * size // batch_size
        return epochs(
            found, seed, lambda shuffled, _: _rows(streams(shuffled, bounds), self.length)
        )

    def one_pass(self, examples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        """Returns the rows of one pass over whole documents."""
        return _rows(streams(*side_by_side(documents(examples), batch_size)), self.length)


class Streams(NamedTuple):
    """Concatenated documents, and the borders of the streams.

    Attributes:
        tokens: int32 [1 + N], after a dummy token.
        document: int32 [1 + N], the number of each token's document.
        bounds: int64 [B + 1], stream r holds the tokens from bounds[r] to before bounds[r + 1].
    """

    tokens: tf.Tensor
    document: tf.Tensor
    bounds: tf.Tensor


def documents(examples: tf.data.Dataset) -> tf.RaggedTensor:
    """Returns the targets of all non-empty examples, int32 [D, (tokens)]."""
    parts = list(packing.ragged_batches(examples, TARGETS, 1024))
    with tf.device("/cpu:0"):
        found = tf.concat([part["targets"] for part in parts], 0)
        sizes = found.row_lengths()
        # Empty rows hold no values. A ragged mask would be dense: D times the longest document.
        return tf.RaggedTensor.from_row_lengths(found.flat_values, sizes[sizes > 0])


def side_by_side(found: tf.RaggedTensor, count: int) -> tuple[tf.RaggedTensor, np.ndarray]:
    """Returns whole documents assigned to streams, stream by stream, and the streams' bounds."""
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


def epochs(
    found: tf.RaggedTensor,
    seed: int,
    rows: Callable[[tf.RaggedTensor, tf.Tensor], tf.data.Dataset],
) -> tf.data.Dataset:
    """Returns the endless rows of all epochs.

    Args:
        found: the documents.
        seed: of their order in each epoch.
        rows: (documents in the order of an epoch, number of the epoch) -> its rows.
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
    # The first token of a stream has no context, even inside a document.
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
    """Returns a vector with an element prepended."""
    return tf.concat([tf.constant([first], values.dtype), values], 0)
