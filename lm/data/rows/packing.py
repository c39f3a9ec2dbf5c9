"""From examples of any length to rows of one length: padding, packing, splitting, truncation.

A packer turns a group of examples (each feature a ragged batch) into rows: for every feature
`f` with a length, `f` [rows, T], `f_segment_ids` [rows, T] (1 for the first example in the row, 2
for the next, 0 for padding) and `f_positions` [rows, T]. Every operation can be saved and
restored with the iterator.
"""

from collections.abc import Mapping
from typing import Protocol

import tensorflow as tf

from lm.data.mapping import mapped
from lm.errors import ConfigError
from lm.parts import part

Lengths = Mapping[str, int]
Features = dict[str, tf.Tensor]
Ragged = Mapping[str, tf.RaggedTensor]


class Packer(Protocol):
    """Makes rows of one length from groups of examples.

    Attributes:
        group: number of examples that `rows` takes at once.
    """

    group: int

    def rows(self, examples: Ragged, lengths: Lengths) -> Features:
        """Returns rows with the examples, each of which must fit into a row."""

    def shift(self, tokens: tf.Tensor, segments: tf.Tensor) -> tf.Tensor:
        """Returns the tokens shifted right: [.., T] → [.., T]."""


@part
class Pad:
    """One example per row, padded at its end.

    Args:
        group: number of rows that are made together; affects only speed.

    Example:
        >>> examples = {"targets": tf.ragged.constant([[3, 9, 1], [5, 1]])}
        >>> Pad().rows(examples, {"targets": 4})["targets"].numpy().tolist()
        [[3, 9, 1, 0], [5, 1, 0, 0]]
    """

    def __init__(self, *, group: int = 32):
        self.group = group

    def rows(self, examples: Ragged, lengths: Lengths) -> Features:
        """Returns one row per example, in order."""
        made: Features = {}
        for name, length in lengths.items():
            value = examples[name]
            ones = tf.ones_like(value.flat_values, tf.int32)
            parts = {
                name: value,
                f"{name}_segment_ids": value.with_flat_values(ones),
                f"{name}_positions": value.with_flat_values(_positions(value)),
            }
            made |= {key: part.to_tensor(shape=[None, length]) for key, part in parts.items()}
        return made

    def shift(self, tokens: tf.Tensor, segments: tf.Tensor) -> tf.Tensor:
        """Returns the tokens shifted right, 0 first: [.., T] → [.., T]."""
        del segments
        return _shift_right(tokens)


@part
class FirstFit:
    """Several examples per row: each goes into the first row of its group where it fits.

    Examples in a row have different segment ids; their positions restart at 0. No example is
    truncated, dropped or repeated. A larger group leaves less padding and takes longer.

    Args:
        group: number of examples that are packed together.
        max_examples: maximum number of examples in a row, for models that need one (Funnel); None
            for as many as fit.

    Raises:
        ConfigError: `max_examples` is less than 1.

    Example:
        >>> examples = {"targets": tf.ragged.constant([[3, 9, 1], [5, 1]])}
        >>> rows = FirstFit().rows(examples, {"targets": 6})
        >>> for name in ("targets", "targets_segment_ids", "targets_positions"):
        ...     print(rows[name].numpy().tolist())
        [[3, 9, 1, 5, 1, 0]]
        [[1, 1, 1, 2, 2, 0]]
        [[0, 1, 2, 0, 1, 0]]
    """

    def __init__(self, *, group: int = 256, max_examples: int | None = None):
        if max_examples is not None and max_examples < 1:
            raise ConfigError(f"FirstFit.max_examples must be at least 1, got {max_examples}")
        self.group = group
        self.max_examples = group if max_examples is None else max_examples

    def rows(self, examples: Ragged, lengths: Lengths) -> Features:
        """Returns as many rows as the examples need."""
        sizes = [tf.cast(examples[name].row_lengths(), tf.int32) for name in lengths]
        # A row's number of examples is limited like its number of tokens.
        each = tf.stack([*sizes, tf.ones_like(sizes[0])], 1)
        row, segment, starts = _first_fit(each, [*lengths.values(), self.max_examples])
        made: Features = {}
        for start, (name, length) in zip(tf.unstack(starts, axis=1), lengths.items(), strict=False):
            made |= _scatter(name, examples[name], (row, segment, start), length)
        return made

    def shift(self, tokens: tf.Tensor, segments: tf.Tensor) -> tf.Tensor:
        """Returns the tokens shifted right, 0 where a segment starts: [.., T] → [.., T]."""
        same = tf.equal(segments, _shift_right(segments))
        return tf.where(same, _shift_right(tokens), 0)


def row_groups(dataset: tf.data.Dataset, lengths: Lengths, packer: Packer) -> tf.data.Dataset:
    """Returns the rows that a packer makes, a group of rows per element."""
    groups = ragged_batches(dataset, tuple(lengths), packer.group)
    return mapped(groups, lambda examples: packer.rows(examples, lengths))


def split(dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
    """Splits examples that are too long; every token is kept, in order.

    Example:
        >>> dataset = tf.data.Dataset.from_tensors({"targets": [3, 4, 5, 6, 7]})
        >>> [x["targets"].tolist() for x in split(dataset, {"targets": 2}).as_numpy_iterator()]
        [[3, 4], [5, 6], [7]]
    """
    groups = ragged_batches(dataset, tuple(lengths), _SPLIT_GROUP)
    return mapped(groups, lambda examples: cut(examples, lengths)).unbatch()


def cut(examples: Ragged, lengths: Lengths) -> dict[str, tf.RaggedTensor]:
    """Splits rows of ragged batches at multiples of their lengths; an empty example stays one.

    Example:
        >>> cut({"targets": tf.ragged.constant([[3, 4, 5], [6]])}, {"targets": 2})["targets"]
        <tf.RaggedTensor [[3, 4], [5], [6]]>
    """
    return {name: _cut(examples[name], length) for name, length in lengths.items()}


def trim(dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
    """Truncates examples to the lengths."""
    return mapped(
        dataset,
        lambda example: {name: example[name][:length] for name, length in lengths.items()},
    )


_SPLIT_GROUP = 64


def ragged_batches(
    dataset: tf.data.Dataset, features: tuple[str, ...], number: int
) -> tf.data.Dataset:
    """Returns ragged batches of vectors, even of static size, which TensorFlow would make dense."""

    def ragged(batch: Features) -> dict[str, tf.RaggedTensor]:
        return {
            name: x if isinstance(x, tf.RaggedTensor) else tf.RaggedTensor.from_tensor(x)
            for name, x in batch.items()
        }

    kept = mapped(dataset, lambda example: {name: example[name] for name in features})
    return mapped(kept.ragged_batch(number), ragged)


def _cut(value: tf.RaggedTensor, length: int) -> tf.RaggedTensor:
    """Splits the rows of a ragged batch at multiples of a length; an empty row stays one row."""
    sizes = value.row_lengths()
    parts = tf.maximum(tf.ones_like(sizes), -(-sizes // length))
    index = tf.ragged.range(parts).flat_values
    left = tf.repeat(sizes, parts) - index * length  # [sum of parts]
    return tf.RaggedTensor.from_row_lengths(value.flat_values, tf.minimum(left, length))


def _positions(value: tf.RaggedTensor) -> tf.Tensor:
    """Returns for each flat value its position in its row."""
    starts = tf.gather(value.row_starts(), value.value_rowids())
    return tf.range(tf.size(value.flat_values)) - tf.cast(starts, tf.int32)


def _shift_right(x: tf.Tensor) -> tf.Tensor:
    return tf.concat([tf.zeros_like(x[..., :1]), x[..., :-1]], -1)


def _first_fit(sizes: tf.Tensor, capacity: list[int]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Packs examples of sizes [N, F] into rows of capacity [F] each.

    Returns:
        For each example its row [N], its segment number in that row [N], and the position where
        it starts for each feature [N, F].
    """
    number = tf.shape(sizes)[0]
    free = tf.tile(tf.constant([capacity], tf.int32), [number, 1])  # [rows, F]; N rows are enough

    def pack_one(
        i: tf.Tensor, free: tf.Tensor, count: tf.Tensor, *written: tf.TensorArray
    ) -> tuple:
        fits = tf.reduce_all(free >= sizes[i], axis=1)
        row = tf.argmax(fits, output_type=tf.int32)
        found = (row, count[row] + 1, capacity - free[row])
        written = tuple(items.write(i, x) for items, x in zip(written, found, strict=True))
        free = tf.tensor_scatter_nd_sub(free, [[row]], [sizes[i]])
        count = tf.tensor_scatter_nd_add(count, [[row]], [1])
        return i + 1, free, count, *written

    lists = [tf.TensorArray(tf.int32, number) for _ in range(3)]
    state = tf.while_loop(
        lambda i, *_: i < number, pack_one, (0, free, tf.zeros([number], tf.int32), *lists)
    )
    row, segment, start = (items.stack() for items in state[3:])
    return row, segment, tf.reshape(start, [number, len(capacity)])


def _scatter(
    name: str,
    value: tf.RaggedTensor,
    packed: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    length: int,
) -> Features:
    """Writes ragged examples into rows: tokens, segment ids and positions."""
    example = value.value_rowids()
    row, segment, start = (tf.gather(x, example) for x in packed)
    position = _positions(value)
    shape = [tf.reduce_max(packed[0]) + 1, length]
    index = tf.stack([row, start + position], 1)
    return {
        name: tf.scatter_nd(index, value.flat_values, shape),
        f"{name}_segment_ids": tf.scatter_nd(index, segment, shape),
        f"{name}_positions": tf.scatter_nd(index, position, shape),
    }
