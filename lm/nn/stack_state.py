"""What comes with the rows of a stack, and the three ways to read them.

    Standalone    every row by itself: training, scoring
    StackState    decoding: the new positions follow those in the caches
    StackCarry    a row may continue the row of the last batch

Each way makes the `Context` of a call and what the stack returns beside its output; the stack
itself need not know which it is.
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
    """What rows may bring besides x, [B, T, D].

    Attributes:
        positions: int32 [B, T] inside each segment of the row; by default counted along it.
        segments: int32 [B, T], 1, 2, … for packed examples and 0 for padding; in decoding 1 marks
            the tokens that advance the state.
        prefix: int32 [B, T], 1 on the tokens that all see each other, or None.
        attention_mask: bool [B, T, T], which token may see which of its segment, in place of the
            stack's rule: `masks.causal(order, order)` of a permutation, say.
        memory: [B, S, D] for cross-attention; in decoding only at the first call.
        memory_segments: int32 [B, S].
        carried: int32 [B], the segment that continues a carry, 0 where none does.
    """

    positions: Tensor = None
    segments: Tensor = None
    prefix: Tensor = None
    attention_mask: Tensor = None
    memory: Tensor = None
    memory_segments: Tensor = None
    carried: Tensor = None


class Standalone:
    """No state: every row is read by itself, and the state after is `()`: x → (y, ())."""

    def context(self, x: Tensor, rows: Rows) -> Context:
        """Returns what branches know of the rows; its mask keeps segments apart."""
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
        """Returns `()`: nothing is kept."""
        del context, residuals
        return ()


class StackState(NamedTuple):
    """What a stack keeps between the steps of decoding.

    Prompts of different lengths share a batch, padded on the right: positions and `index` advance
    by the real tokens of each row.

    Attributes:
        index: int32 [B], positions written so far in each row.
        slots: what the slots of the caches hold.
        residuals: the states of the residuals.
    """

    index: Tensor
    slots: Slots
    residuals: tuple[State, ...]

    def context(self, x: Tensor, rows: Rows) -> Context:
        """Returns what branches know of the new positions; the rule alone masks their keys."""
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
        """Returns the state after the new positions, of which those in a segment were real."""
        count = context.query_positions.shape[1]
        segments = context.segments
        if segments is None:
            segments = ops.ones((self.index.shape[0], count), "int32")
        counts = ops.sum(ops.cast(segments > 0, "int32"), axis=1)  # [B]
        # Every one of a prompt's sequences writes as many slots as the longest row.
        written = ops.max(counts) * self.slots.is_own.shape[1]
        slots = self.slots._replace(positions=context.key_positions, next=self.slots.next + written)
        return StackState(self.index + counts, slots, residuals)


class StackCarry(NamedTuple):
    """What a stack hands from one row to the next.

    The segment that continues counts its positions from where its sequence began.

    Attributes:
        positions: int32 [B], how many positions the last sequence of each row has so far.
        residuals: the carries of the residuals.
    """

    positions: Tensor
    residuals: tuple[State, ...]

    def context(self, x: Tensor, rows: Rows) -> Context:
        """Returns what branches know of the rows and of the segment that continues."""
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
    """Returns the carry before the first row, `()` where no residual has one."""
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
    """Returns bool [B, 1, T or 1, S]: every example sees its own memory, never the padding."""
    if memory_segments is None:
        return None
    if segments is None:
        return memory_segments[:, None, None, :] > 0
    return within(segments, memory_segments)


def count_positions(positions: Tensor, segments: Tensor) -> Tensor:
    """Returns how many positions the last sequence of each row has so far, int32 [B].

    >>> print(np.asarray(count_positions(ops.array([[7, 0, 1, 0]]), ops.array([[1, 2, 2, 0]]))))
    [2]
    """
    is_last = ops.equal(segments, last_segment(segments))
    return ops.max(ops.where(is_last, positions + 1, 0), axis=1)
