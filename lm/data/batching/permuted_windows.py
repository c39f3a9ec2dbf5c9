"""Contiguous rows for XLNet: B parallel streams of documents; rows advance by R tokens.

With R = 3 and rows of 10, a document of eight tokens makes three rows; the second part of each
begins where the first part of the next does (`lm.data.rows.permuted_rows` explains the rows):

    a b c | d e [SEP] f g [SEP] [CLS]     continues 0
    d e f | g [SEP] h [SEP] [CLS]         continues 1
    g h                                   continues 1

So every token is once in the first part of a row, which the next row has in its memory. A row holds
one document.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import seqio
import tensorflow as tf

from lm.data.batching.contiguous import documents, epochs, side_by_side
from lm.data.batching.windows import TARGETS
from lm.data.mapping import mapped
from lm.data.rows import packing
from lm.data.rows.features import needed
from lm.data.rows.packing import Features, Lengths
from lm.data.rows.permuted_rows import PermutedRow
from lm.errors import UserError
from lm.parts import part
from lm.ranges import PositiveInt, UnitFloat

Direction: TypeAlias = Callable[[tf.Tensor, int], tf.Tensor]
"""(Index of a stream, number of streams) -> whether its documents are reversed."""


@part
def second_half_backward(stream: tf.Tensor, count: int) -> tf.Tensor:
    """The release's bidirectional data: the second half of the streams is reversed."""
    return 2 * stream >= count


@part
class PermutedWindows:
    """Rows that continue from batch to batch; the features are those of `PermutedRow`.

    In each epoch the documents are joined in a new order and cut into B streams of an equal number
    of rows, so a stream may begin inside a document. `encoder_continues` is 1 where a row continues
    the document of the previous row. Spans and orders are drawn anew in every epoch.

    An evaluation pass keeps every document whole in one stream. Its spans and orders depend only on
    the document and the index of the row; second pieces continue the first ones. Only some tokens
    are predicted, so bits per byte are not defined.

    Args:
        length: T.
        vocabulary: of the tokens.
        row: factory of `PermutedRow`.
        backward: which streams have reversed documents, such as `second_half_backward`; rows then
            have the feature `encoder_direction`. None reverses no stream.
        random_piece_rate: fraction of rows whose second piece comes from elsewhere in the split.

    Raises:
        UserError: the split has fewer rows than there are streams; and as `PermutedRow`.

    Source: Yang et al. 2019 (https://arxiv.org/abs/1906.08237), section 3.1.
    Departures: documents do not share rows, and the memory is cleared at their ends.
    """

    keeps_text = False

    def __init__(
        self,
        *,
        length: PositiveInt,
        vocabulary: seqio.Vocabulary,
        row: Callable[..., PermutedRow],
        backward: Direction | None = None,
        random_piece_rate: UnitFloat = 0.5,
    ) -> None:
        self.make = row(length=length, vocabulary=vocabulary)
        self.backward = backward
        self.random_piece_rate = random_piece_rate
        self.settings = {
            "PermutedWindows": {
                **self.make.settings,
                "random_piece_rate": random_piece_rate,
                "backward": getattr(backward, "__name__", None),
            }
        }

    def endless(self, examples: tf.data.Dataset, batch_size: int, seed: int) -> tf.data.Dataset:
        """Returns the rows of all batches, epoch after epoch."""
        found, step = documents(examples), self.make.reuse_length
        total = int(windows(found, step).ends[-1])
        if total < batch_size:
            raise UserError(
                f"a split of {total} rows is too small for BATCH_SIZE = {batch_size} streams"
            )
        bounds = tf.range(batch_size + 1, dtype=tf.int64) * total // batch_size
        drawing = Drawing(self.make, seed, self.random_piece_rate, self.backward)

        def rows(shuffled: tf.RaggedTensor, number: tf.Tensor) -> tf.data.Dataset:
            return _rows(windows(shuffled, step)._replace(bounds=bounds), drawing, number)

        return epochs(found, seed, rows)

    def one_pass(self, examples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        """Returns the rows of one pass over whole documents."""
        found, ends = side_by_side(documents(examples), batch_size)
        made = windows(found, self.make.reuse_length)
        # Streams end where documents do: rows up to there.
        before = np.searchsorted(np.cumsum(found.row_lengths().numpy()), ends, "right")
        bounds = tf.constant(np.concatenate([[0], made.ends.numpy()])[before])
        return _rows(made._replace(bounds=bounds), Drawing(self.make, 0, 0.0, None), 0)


@part
class TextRows:
    """Rows of `lengths["targets"]` for an encoder without predictions; long texts are split."""

    task_features = TARGETS
    trims = ()

    def __init__(self) -> None:
        self.packer = packing.Pad()

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples that fit a row."""
        dataset = dataset.filter(lambda example: tf.size(example["targets"]) > 0)
        return packing.split(dataset, self.row_lengths(lengths))

    def row_lengths(self, lengths: Lengths) -> Lengths:
        """Returns the length of the targets."""
        return needed(lengths, TARGETS)

    def convert(self, rows: Features) -> Features:
        """Returns the encoder's features."""
        return {
            "encoder_input_tokens": rows["targets"],
            "encoder_segment_ids": rows["targets_segment_ids"],
            "encoder_positions": rows["targets_positions"],
        }

    def num_rows(self, example: Mapping[str, Any], lengths: Lengths) -> int:
        """Returns the number of rows of a text."""
        return -(-len(example["targets"]) // lengths["targets"])


class Windows(NamedTuple):
    """Concatenated documents, and the borders of their rows and of the streams.

    Attributes:
        documents: int32 [D, (tokens)].
        ends: int64 [D], cumulative number of rows of the documents.
        bounds: int64 [B + 1], stream r holds the rows from bounds[r] to before bounds[r + 1].
    """

    documents: tf.RaggedTensor
    ends: tf.Tensor
    bounds: tf.Tensor = None


class Drawing(NamedTuple):
    """How rows are made, and the random choices for them."""

    make: PermutedRow
    seed: int
    random_piece_rate: float
    backward: Direction | None


def windows(found: tf.RaggedTensor, step: int) -> Windows:
    """Returns documents whose rows begin `step` tokens after each other."""
    lengths = tf.cast(found.row_lengths(), tf.int64)
    return Windows(found, tf.cumsum(-(-lengths // step)))


def _rows(made: Windows, drawing: Drawing, epoch: tf.Tensor) -> tf.data.Dataset:
    """Returns the rows of all streams: the first of each, then the second of each, and so on."""
    count = int(made.bounds.shape[0]) - 1
    longest = tf.reduce_max(made.bounds[1:] - made.bounds[:-1])
    return mapped(
        tf.data.Dataset.range(longest * count),
        lambda i: _row(made, drawing, epoch, i % count, i // count),
    )


def _row(
    made: Windows, drawing: Drawing, epoch: tf.Tensor, stream: tf.Tensor, number: tf.Tensor
) -> Features:
    """Returns the features of one row of one stream, empty where the stream has ended."""
    make, count = drawing.make, int(made.bounds.shape[0]) - 1
    row = made.bounds[stream] + number
    is_there = row < made.bounds[stream + 1]
    document = tf.where(is_there, tf.searchsorted(made.ends, row[None], "right")[0], 0)
    text = made.documents[document]
    before = tf.where(document > 0, made.ends[document - 1], 0)
    start = tf.where(is_there, tf.cast(row - before, tf.int32) * make.reuse_length, tf.size(text))
    is_backward = False if drawing.backward is None else drawing.backward(stream, count)
    rest = _directed(text, is_backward)[start:]

    # The seed of a row: its document and index in it, and the epoch.
    key = tf.stack([tf.cast(drawing.seed, tf.int64), tf.cast(epoch, tf.int64)])
    key = tf.random.experimental.stateless_fold_in(key, row)
    keys = tf.random.split(key, 5)
    reused, new = rest[: make.reuse_length], rest[make.reuse_length :][: make.new_length]
    first, second = _pieces(new, keys[0])
    size = tf.size(second)
    elsewhere = _anywhere(made.documents.flat_values, size, keys[1])
    is_random = tf.random.stateless_uniform([], keys[2]) < drawing.random_piece_rate
    second = tf.where(is_random, _directed(elsewhere, is_backward), second)
    features = make(reused, first, second, keys[3])
    continues = is_there & (start > 0) & (number > 0)
    features["encoder_continues"] = tf.cast(continues, tf.int32)
    if drawing.backward is not None:
        features["encoder_direction"] = 1 - 2 * tf.cast(is_backward, tf.int32)
    return features


def _directed(text: tf.Tensor, is_backward: tf.Tensor) -> tf.Tensor:
    """Returns the text, reversed if asked."""
    return tf.where(is_backward, tf.reverse(text, [0]), text)


def _pieces(text: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits a text at a random token; two empty pieces if it has fewer than two tokens."""
    size = tf.size(text)
    cut = tf.random.stateless_uniform([], key, 1, tf.maximum(size, 2), tf.int32)
    cut = tf.where(size > 1, cut, 0)
    return text[:cut], text[cut : tf.where(size > 1, size, 0)]


def _anywhere(tokens: tf.Tensor, size: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Returns `size` tokens from a random position."""
    most = tf.size(tokens) - size
    start = tf.random.stateless_uniform([], key, 0, most + 1, tf.int32)
    return tokens[start : start + size]
