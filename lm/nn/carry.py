"""What goes on from one row to the next: the slots that a state holds before the new positions.

A row that goes on with a text finds in its state the last positions of the row before. They stand
in front of the new ones, as slots that belong to the segment `context.carried`:

    segments          2 2 2 2 2 | 1 1 1 3 3 0     a state of five slots, then the new row
    if carried is 1   _ _ 1 1 1 | 1 1 1 3 3 0     positions[0] = 3: three of the slots are its own
    if carried is 0   _ _ _ _ _ | 1 1 1 3 3 0     nothing goes on
    kept for after      1 1 1   . . . 3 3         the last five before the padding, of segment 3

Decoding is the same: there all rows go on with segment 1.
"""

from typing import Any

from keras import ops

from lm.nn.branch import Context

NOTHING = -1
"""The segment of a slot that nobody goes on with: neither a token's nor padding's."""


def slot_segments(context: Context, segments: Any, count: int) -> Any:
    """Returns the segments of `count` slots and of the new positions, int32 [B, count + T].

    A text has as many slots of its own as it has positions before the row.

    Args:
        context: its positions and its `carried`.
        segments: int32 [B, T] of the new positions.
        count: slots of the state.
    """
    before = context.positions[:, :1] + ops.arange(-count, 0, dtype="int32")[None]  # [B, count]
    carried = context.carried[:, None]
    is_own = ops.logical_and(before >= 0, carried > 0)
    return ops.concatenate([ops.where(is_own, carried, NOTHING), segments], axis=1)


def last_segment(segments: Any) -> Any:
    """Returns the segment that a row ends with, padding left out: int32 [B, 1]."""
    return ops.max(segments, axis=1, keepdims=True)


def count_real(segments: Any) -> Any:
    """Returns how many tokens of a row are no padding, int32 [B, 1]."""
    return ops.sum(ops.cast(segments > 0, "int32"), axis=1, keepdims=True)


def latest(slots: Any, owners: Any, count: int, segments: Any) -> Any:
    """Returns the state after a row: its last `count` slots, zero where they are another text's.

    Args:
        slots: [B, count + T, ...], those of the state before the new ones.
        owners: their segments, int32 [B, count + T].
        count: slots of the state.
        segments: int32 [B, T] of the new positions; None where all belong to one text.
    """
    if segments is None:
        return slots[:, slots.shape[1] - count :]
    index = count_real(segments) + ops.arange(count, dtype="int32")[None]  # [B, count]
    is_own = ops.equal(ops.take_along_axis(owners, index, axis=1), last_segment(segments))
    kept = ops.take_along_axis(slots, like(index, slots), axis=1)
    return ops.where(like(is_own, slots), kept, 0)


def like(x: Any, other: Any) -> Any:
    """[B, T] → [B, T, 1, …] with as many axes as another tensor."""
    return ops.reshape(x, (*x.shape, *(1 for _ in other.shape[2:])))
