"""Rows as blocks, for mixed-chunk attention: neighbouring blocks and sums over distant ones.

Shapes by letter: B batch, T new positions, G blocks of a row, W positions of a block, K width of
queries and keys, F hidden width, S keys that a block reads pair by pair.
"""

from typing import NamedTuple

import keras
from keras import ops

from lm.nn.masks import causal, same_segment
from lm.types import Tensor

PAST, FUTURE = -1, 1


class Keys(NamedTuple):
    """Keys and values, along a row [B, T, …] or in blocks [B, G, W, …].

    Attributes:
        key: [.., K] of the quadratic part.
        linear_key: [.., K] of the linear part.
        value: [.., F].
        segments: int32 [..].
        chunk: int32 [..], position // C.
    """

    key: Tensor
    linear_key: Tensor
    value: Tensor
    segments: Tensor
    chunk: Tensor


def in_blocks(row: Keys, width: int) -> Keys:
    """Cuts rows [B, T, …] into blocks [B, G, W, …]; zeros fill the last one."""

    def cut(x: Tensor) -> Tensor:
        padding = -x.shape[1] % width
        x = ops.pad(x, [[0, 0], [0, padding]] + [[0, 0]] * (len(x.shape) - 2))
        return ops.reshape(x, (-1, x.shape[1] // width, width, *x.shape[2:]))

    return keras.tree.map_structure(cut, row)


def neighbours(row: Keys, side: int, first: Keys | None) -> Keys:
    """Returns the block beside each block, [B, G, W, …]; `first` or zeros at the border."""

    def shift(x: Tensor, border: Tensor) -> Tensor:
        if x.shape[1] == 1:
            return border
        parts = [border, x[:, :-1]] if side == PAST else [x[:, 1:], border]
        return ops.concatenate(parts, axis=1)

    border = first or keras.tree.map_structure(lambda x: ops.zeros_like(x[:, :1]), row)
    return keras.tree.map_structure(shift, row, border)


def joined(blocks: list[Keys]) -> Keys:
    """Joins blocks side by side, [B, G, S, …]."""
    if len(blocks) == 1:
        return blocks[0]
    return keras.tree.map_structure(lambda *parts: ops.concatenate(parts, axis=2), *blocks)


def each_block(keys: Keys) -> Keys:
    """Makes every block an example, [B, G, W, …] → [B·G, W, …]."""
    return keras.tree.map_structure(lambda x: ops.reshape(x, (-1, *x.shape[2:])), keys)


def far(queries: Keys, outer: Keys, side: int) -> Tensor:
    """Returns the linear attention to the blocks beyond those around each block, [B, G, W, F].

        y_t = q_l · Σ k_lᵀ v     over the positions of the blocks beyond in the example of t

    Only an example that fills the whole of an outermost block reaches beyond it. So a block of
    queries needs the sum over a single example: the one at the edge of its outermost block.

    Args:
        queries: blocks of queries.
        outer: for each, the outermost block that it attends to pairwise, on that side.
        side: PAST or FUTURE.
    """
    blocks, zeros = queries.key.shape[1], ops.zeros_like(queries.value[:, :1])
    if blocks == 1:
        return zeros
    # There is nothing beyond the block at the border: G - 1 blocks of queries read G - 1 blocks.
    inner, beyond = (slice(1, None), slice(-1)) if side == PAST else (slice(-1), slice(1, None))
    asking = keras.tree.map_structure(lambda x: x[:, inner], queries)
    outer = keras.tree.map_structure(lambda x: x[:, beyond], outer)

    # The sum k_lᵀ v of every outermost block, over the example at its edge.
    edge = outer.segments[:, :, -1 if side == PAST else 0]  # [B, G - 1]
    is_edge = ops.equal(outer.segments, edge[..., None])[..., None]
    key = ops.where(is_edge, outer.linear_key, 0)
    sums = ops.cast(ops.einsum("bgsk,bgsf->bgkf", key, outer.value), "float32")

    # Sum over the blocks beyond that have the same example at their edge.
    block = ops.arange(blocks - 1, dtype="int32")[None]
    is_beyond = causal(block, block)
    is_beyond = is_beyond if side == PAST else ops.swapaxes(is_beyond, 1, 2)
    is_read = ops.cast(is_beyond & same_segment(edge, edge), "float32")  # [B, G - 1, G - 1]
    sums = ops.cast(ops.einsum("bgh,bhkf->bgkf", is_read, sums), outer.value.dtype)

    reaches = ops.equal(asking.segments, edge[..., None])[..., None]
    y = ops.einsum("bgtk,bgkf->bgtf", ops.where(reaches, asking.linear_key, 0), sums)
    return ops.concatenate([zeros, y] if side == PAST else [y, zeros], axis=1)


def tokens_of_example(segments: Tensor, positions: Tensor) -> Tensor:
    """Returns the length of the example that each token belongs to, int32 [B, T].

    >>> print(np.asarray(tokens_of_example(ops.array([[1, 1, 2]]), ops.array([[0, 1, 0]]))))
    [[2 2 1]]
    """
    index = ops.arange(segments.shape[1], dtype="int32")[None]
    following = ops.concatenate([segments[:, 1:], -ops.ones_like(segments[:, :1])], axis=1)
    is_end = ops.not_equal(segments, following)
    ends = ops.sort(ops.where(is_end, index, segments.shape[1]), axis=1)  # in order, then filling
    before = ops.cumsum(ops.cast(is_end, "int32"), axis=1) - ops.cast(is_end, "int32")
    last = ops.take_along_axis(ends, before, axis=1)  # index of the example's last token
    return positions + 1 + last - index
