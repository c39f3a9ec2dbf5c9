"""The inputs of a stack besides x, and the three modes of reading rows.

    Standalone    every row by itself: training, scoring
    StackState    decoding: the new positions follow those in the caches
    StackCarry    a row may continue the row of the last batch

Each mode makes the `Context` of a call and the state that the stack returns; the stack itself does
not distinguish them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from lm.nn.branch import Context, State
from lm.nn.cache import NEVER, Slots, enter
from lm.nn.carry import last_segment
from lm.nn.masks import same_segment
from lm.types import Tensor


class Rows(NamedTuple):
    """Optional inputs of rows besides x, [B, T, D].

    Attributes:
        positions: int32 [B, T] inside each segment of the row; by default counted along it.
        segments: int32 [B, T], 1, 2, … for packed examples and 0 for padding; in decoding 1 marks
            the tokens that advance the state.
        prefix: int32 [B, T], 1 on tokens that all see each other, or None.
        attention_mask: bool [B, T, T], which token may see which in its segment, replaces the
            stack's mask; for example `masks.causal(order, order)` of a permutation.
        memory: [B, S, D] for cross-attention; in decoding only at the first call.
        memory_segments: int32 [B, S].
        carried: int32 [B], the segment that continues a carry, 0 if none does.
    """

    positions: Tensor = None
    segments: Tensor = None
    prefix: Tensor = None
    attention_mask: Tensor = None
    memory: Tensor = None
    memory_segments: Tensor = None
    carried: Tensor = None


class Standalone:
    """No state: every row is independent, and the state after is `()`: x → (y, ())."""

    def context(self, x: Tensor, rows: Rows) -> Context:
        """Returns the context of the rows; its mask separates segments."""
        index, positions = row_positions(x), rows.positions
        if positions is None:
            positions = index + ops.zeros_like(x[:, :, 0], dtype="int32")  # [B, T]
        return Context(
            positions=positions,
            segments=rows.segments,
            mask=None if rows.segments is None else within(rows.segments, rows.segments),
            memory=rows.memory,
            memory_mask=visible_memory(rows.segments, rows.memory_segments),
            query_positions=index,
            key_positions=index,
        )

    def after(self, context: Context, residuals: tuple[State, ...]) -> State:
        """Returns `()`."""
        del context, residuals
        return ()


class StackState(NamedTuple):
    """The state of a stack in decoding.

    Prompts of different lengths may share a batch, padded on the right: positions and `index`
    advance by the real tokens of each row.

    Attributes:
        index: int32 [B], positions written so far in each row.
        slots: the positions held by the cache slots.
        residuals: the states of the residuals.
    """

    index: Tensor
    slots: Slots
    residuals: tuple[State, ...]

    def context(self, x: Tensor, rows: Rows) -> Context:
        """Returns the context of the new positions; only the stack's mask applies."""
        new = self.index[:, None] + row_positions(x)  # [B, T]
        written = new if rows.segments is None else ops.where(rows.segments > 0, new, NEVER)
        return Context(
            positions=new if rows.positions is None else rows.positions,
            segments=rows.segments,
            memory=rows.memory,
            memory_mask=visible_memory(None, rows.memory_segments),
            index=self.index,
            query_positions=new,
            key_positions=enter(self.slots, written).positions,
            slot=self.slots.next,
            carried=ops.ones_like(self.index),
        )

    def after(self, context: Context, residuals: tuple[State, ...]) -> "StackState":
        """Returns the state after the new positions; padding does not count."""
        count = context.query_positions.shape[1]
        segments = context.segments
        if segments is None:
            segments = ops.ones((self.index.shape[0], count), "int32")
        counts = ops.sum(ops.cast(segments > 0, "int32"), axis=1)  # [B]
        # Each sequence of a prompt writes as many slots as the longest row.
        written = ops.max(counts) * self.slots.is_own.shape[1]
        slots = self.slots._replace(positions=context.key_positions, next=self.slots.next + written)
        return StackState(self.index + counts, slots, residuals)


class StackCarry(NamedTuple):
    """The state that a stack passes from one row to the next.

    The continuing segment counts its positions from the start of its sequence.

    Attributes:
        positions: int32 [B], number of positions of each row's last sequence so far.
        residuals: the carries of the residuals.
    """

    positions: Tensor
    residuals: tuple[State, ...]

    def context(self, x: Tensor, rows: Rows) -> Context:
        """Returns the context of the rows, including the continuing segment."""
        if rows.segments is None:
            rows = rows._replace(segments=ops.ones_like(x[:, :, 0], dtype="int32"))
        alone = Standalone().context(x, rows)
        continues = ops.equal(rows.segments, rows.carried[:, None])  # [B, T]
        before = ops.where(continues, self.positions[:, None], 0)
        return alone._replace(positions=alone.positions + before, carried=rows.carried)

    def after(self, context: Context, residuals: tuple[State, ...]) -> "StackCarry":
        """Returns the carry for the next row."""
        return StackCarry(count_positions(context.positions, context.segments), residuals)


def stack_carry(residuals: Sequence[Any], batch: int) -> State:
    """Returns the carry before the first row; `()` if no residual has one."""
    carries = tuple(residual.initial_carry(batch) for residual in residuals)
    if not keras.tree.flatten(carries):
        return ()
    return StackCarry(ops.zeros((batch,), "int32"), carries)


def row_positions(x: Tensor) -> Tensor:
    """Returns the positions of a row [B, T, D] counted from its start, int32 [1, T]."""
    return ops.arange(x.shape[1], dtype="int32")[None]


def within(query: Tensor, key: Tensor) -> Tensor:
    """Returns bool [B, 1, T, S]: True inside a segment."""
    return same_segment(query, key)[:, None]


def visible_memory(segments: Tensor, memory_segments: Tensor) -> Tensor:
    """Returns bool [B, 1, T or 1, S]: every example sees its own memory, without padding."""
    if memory_segments is None:
        return None
    if segments is None:
        return memory_segments[:, None, None, :] > 0
    return within(segments, memory_segments)


def count_positions(positions: Tensor, segments: Tensor) -> Tensor:
    """Returns the number of positions of each row's last sequence so far, int32 [B].

    >>> print(np.asarray(count_positions(ops.array([[7, 0, 1, 0]]), ops.array([[1, 2, 2, 0]]))))
    [2]
    """
    is_last = ops.equal(segments, last_segment(segments))
    return ops.max(ops.where(is_last, positions + 1, 0), axis=1)
