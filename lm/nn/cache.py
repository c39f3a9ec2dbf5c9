"""Caches of keys and values in decoding, and how the sequences of a prompt share them.

A table maps each slot of a cache to a position in each row's sequence. All rows write to the same
slots, whatever the lengths of their prompts. A row may read slots written by another row: beams
share their common prefix, and when one beam replaces another only the table changes, not the keys
and values.

Shapes by letter: B prompts, N sequences of each, R = B · N rows, T new positions, L slots.
"""

from typing import NamedTuple

import keras
from keras import ops

from lm.types import Tensor, Tree

NEVER = 2**30
"""The position of an empty slot: after every query, so that masks hide it."""


class Shared(NamedTuple):
    """A part of a state with first axis B, computed once and read by all sequences of a prompt."""

    tree: Tree


class Cache(NamedTuple):
    """A part of a state, tensors [B, H, L, K], with slots for the positions of all sequences."""

    tree: Tree


class Slots(NamedTuple):
    """The table of the slots.

    Attributes:
        positions: int32 [R, L], the position of a slot in the row's sequence, or `NEVER`.
        is_own: bool [R, N], which of the N sequences of its prompt a row is.
        next: int32 scalar, the next slot to write.
    """

    positions: Tensor
    is_own: Tensor
    next: Tensor


def empty_slots(rows: int, length: int) -> Slots:
    """Returns the table before the first position, one sequence for each prompt."""
    positions = ops.full((rows, length), NEVER, "int32")
    return Slots(positions, ops.ones((rows, 1), "bool"), ops.zeros((), "int32"))


def enter(slots: Slots, positions: Tensor) -> Slots:
    """Returns the table with new positions, int32 [R, T], in the slots from `next` on.

    The N sequences of a prompt write N · T slots, one sequence after the other; each row sees only
    its own T slots.
    """
    new = ops.where(slots.is_own[:, :, None], positions[:, None, :], NEVER)  # [R, N, T]
    new = ops.reshape(new, (new.shape[0], -1))  # [R, N·T]
    return slots._replace(positions=ops.slice_update(slots.positions, (0, slots.next), new))


def write(cache: Cache, new: Tree, slot: Tensor) -> Cache:
    """Returns the cache with a tree of `new`, [R, H, T, K] each, in the slots from `slot` on."""
    return Cache(keras.tree.map_structure(lambda old, x: write_into(old, x, slot), cache.tree, new))


def write_into(cache: Tensor, new: Tensor, slot: Tensor) -> Tensor:
    """Writes one tensor of a cache, [B, H, L, K]."""
    new = ops.cast(by_prompt(new, cache.shape[0]), cache.dtype)  # [B, H, N·T, K]
    if new.shape[2] == 1:
        return write_one(cache, new, slot)
    return ops.slice_update(cache, (0, 0, slot, 0), new)


def write_one(cache: Tensor, new: Tensor, slot: Tensor) -> Tensor:
    """Writes one slot of every row, as a scatter.

    XLA on a CPU would fuse a `slice_update` of one slot into both of its users and copy the cache.
    """
    rows, width = cache.shape[0] * cache.shape[1], cache.shape[3]  # B·H, K
    indices = ops.arange(rows, dtype="int32") * cache.shape[2] + slot
    flat, new = (ops.reshape(x, (-1, width)) for x in (cache, new))  # [B·H·L, K], [B·H, K]
    return ops.reshape(ops.scatter_update(flat, indices[:, None], new), cache.shape)


def by_prompt(x: Tensor, prompts: int) -> Tensor:
    """Puts the sequences of a prompt one after the other, [B·N, H, T, …] → [B, H, N·T, …]."""
    if x.shape[0] == prompts:
        return x
    x = ops.reshape(x, (prompts, -1, *x.shape[1:]))  # [B, N, H, T, …]
    x = ops.swapaxes(x, 1, 2)  # [B, H, N, T, …]
    return ops.reshape(x, (*x.shape[:2], -1, *x.shape[4:]))
