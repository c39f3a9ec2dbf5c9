"""What a search keeps of the positions so far, and how several texts of a prompt share it.

Keys and values lie in slots, and a table tells for each text which place of it a slot holds. All
rows write to the same slots, whatever the lengths of their prompts; and a text need not own what
it reads: beams read their common past where it was written, and nothing is moved when one beam
takes the place of another.

Shapes by letter: B prompts, N texts of each, R = B · N rows, T new positions, L slots.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

NEVER = 2**30
"""The place of a slot that holds nothing of a text: behind every query, so that a mask hides it."""


class Shared(NamedTuple):
    """A part of a state, leading with B, that is made once and read by all texts of a prompt."""

    tree: Any


class Cache(NamedTuple):
    """A part of a state, tensors [B, H, L, K], with a slot for every position of every text."""

    tree: Any


class Slots(NamedTuple):
    """Which slots hold what.

    Attributes:
        places: int32 [R, L], the place in the row's text of what a slot holds, or `NEVER`.
        is_own: bool [R, N], which of N texts of its prompt a row is.
        next: int32 scalar, the slot that is written next.
    """

    places: Any
    is_own: Any
    next: Any


def empty_slots(rows: int, length: int) -> Slots:
    """Returns the table of texts, one for a prompt, that have no position yet."""
    places = ops.full((rows, length), NEVER, "int32")
    return Slots(places, ops.ones((rows, 1), "bool"), ops.zeros((), "int32"))


def enter(slots: Slots, places: Any) -> Slots:
    """Returns the table with new places, int32 [R, T], in the slots from `next` on.

    The texts of a prompt write one after the other; each sees what it writes itself.
    """
    new = ops.where(slots.is_own[:, :, None], places[:, None, :], NEVER)  # [R, N, T]
    new = ops.reshape(new, (new.shape[0], -1))
    return slots._replace(places=ops.slice_update(slots.places, (0, slots.next), new))


def write(cache: Cache, new: Any, slot: Any) -> Cache:
    """Returns the cache with a tree of `new`, [R, H, T, K] each, in the slots from `slot` on."""
    return Cache(
        keras.tree.map_structure(lambda kept, x: write_into(kept, x, slot), cache.tree, new)
    )


def write_into(cache: Any, new: Any, slot: Any) -> Any:
    """Writes one tensor of a cache, [B, H, L, K]."""
    new = ops.cast(by_prompt(new, cache.shape[0]), cache.dtype)
    if new.shape[2] == 1:
        return write_one(cache, new, slot)
    return ops.slice_update(cache, (0, 0, slot, 0), new)


def write_one(cache: Any, new: Any, slot: Any) -> Any:
    """Writes one slot of every row as a scatter.

    XLA on a processor fuses a slice's update of one row into both of its users, with copies.
    """
    rows, width = cache.shape[0] * cache.shape[1], cache.shape[3]
    places = ops.arange(rows, dtype="int32") * cache.shape[2] + slot
    flat, new = (ops.reshape(x, (-1, width)) for x in (cache, new))
    return ops.reshape(ops.scatter_update(flat, places[:, None], new), cache.shape)


def by_prompt(x: Any, prompts: int) -> Any:
    """Puts the texts of a prompt one after the other, [B·N, H, T, …] → [B, H, N·T, …]."""
    if x.shape[0] == prompts:
        return x
    x = ops.reshape(x, (prompts, -1, *x.shape[1:]))
    x = ops.swapaxes(x, 1, 2)
    return ops.reshape(x, (*x.shape[:2], -1, *x.shape[4:]))
