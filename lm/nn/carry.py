"""State that continues from one row to the next: slots before the new positions.

A row that continues a sequence has the last positions of the previous row in its state. They are
placed before the new ones, as slots of the segment `context.carried`:

    segments          2 2 2 2 2 | 1 1 1 3 3 0     a state of five slots, then the new row
    if carried is 1   _ _ 1 1 1 | 1 1 1 3 3 0     positions[0] = 3: three of the slots are its own
    if carried is 0   _ _ _ _ _ | 1 1 1 3 3 0     nothing continues
    state after         1 1 1   . . . 3 3         the last five before the padding, of segment 3

Decoding is the same: there every row continues with segment 1.
"""

from keras import ops

from lm.nn.branch import Context
from lm.types import Tensor

NOTHING = -1
"""The segment of a slot that no segment continues."""


def slot_segments(context: Context, segments: Tensor, count: int) -> Tensor:
    """Returns the segments of `count` slots and of the new positions, int32 [B, count + T].

    The last slots belong to the continuing sequence, as many as it has positions before the row.

    Args:
        context: its positions and its `carried`.
        segments: int32 [B, T] of the new positions.
        count: slots of the state.
    """
    before = context.positions[:, :1] + ops.arange(-count, 0, dtype="int32")[None]  # [B, count]
    carried = context.carried[:, None]
    is_own = ops.logical_and(before >= 0, carried > 0)
    return ops.concatenate([ops.where(is_own, carried, NOTHING), segments], axis=1)


def last_segment(segments: Tensor) -> Tensor:
    """Returns the last segment of each row before its padding, int32 [B, 1]."""
    return ops.max(segments, axis=1, keepdims=True)


def count_real(segments: Tensor) -> Tensor:
    """Returns how many tokens of each row are not padding, int32 [B, 1]."""
    return ops.sum(ops.cast(segments > 0, "int32"), axis=1, keepdims=True)


def latest(slots: Tensor, owners: Tensor, count: int, segments: Tensor) -> Tensor:
    """Returns the state after a row: the last `count` slots, zero if of another sequence.

    Args:
        slots: [B, count + T, ...], those of the state before the new ones.
        owners: their segments, int32 [B, count + T].
        count: slots of the state.
        segments: int32 [B, T] of the new positions; None where all belong to one sequence.
    """
    if segments is None:
        return slots[:, slots.shape[1] - count :]
    index = count_real(segments) + ops.arange(count, dtype="int32")[None]  # [B, count]
    is_own = ops.equal(ops.take_along_axis(owners, index, axis=1), last_segment(segments))
    last = ops.take_along_axis(slots, like(index, slots), axis=1)  # [B, count, ...]
    return ops.where(like(is_own, slots), last, 0)


def like(x: Tensor, other: Tensor) -> Tensor:
    """[B, T] → [B, T, 1, …] with as many axes as another tensor."""
    return ops.reshape(x, (*x.shape, *(1 for _ in other.shape[2:])))
