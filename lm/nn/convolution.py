"""Convolutions along the length that do not cross segment borders; causal ones keep a tail.

All are sums over neighbours: copies of x, [B, T, ...], shifted along the length by a fixed offset,
zero where a neighbour lies outside the row or in another segment. A filter of k taps is a sum of k
weighted neighbours; filters over the same x share its neighbours and tail.
"""

from collections.abc import Sequence
from typing import ClassVar

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, State
from lm.nn.carry import latest, like, slot_segments
from lm.nn.initializers import CurrentFirst, Initializer, initializer
from lm.nn.kernels import Dense
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Shape, Tensor


def moved(x: Tensor, offset: int) -> Tensor:
    """Returns y with `y_t = x_{t + offset}` along axis 1, zero outside of the row.

    >>> print(np.asarray(moved(ops.array([[1, 2, 3]]), -1)), np.asarray(moved(ops.ones((1, 2)), 9)))
    [[0 1 2]] [[0. 0.]]
    """
    count = x.shape[1]
    pads = [[0, 0], [max(-offset, 0), max(offset, 0)], *([0, 0] for _ in x.shape[2:])]
    start = max(offset, 0)
    return ops.pad(x, pads)[:, start : start + count]


def neighbour(x: Tensor, offset: int, segments: Tensor) -> Tensor:
    """Returns `x_{t + offset}` if it is in the segment of t, else 0.

    Args:
        x: [B, T, ...].
        offset: positions to the right; negative is to the left.
        segments: int32 [B, T], or None for one segment per row.
    """
    y = moved(x, offset)
    if segments is None or offset == 0:
        return y
    inside = ops.equal(moved(segments, offset), segments)
    return ops.where(like(inside, x), y, 0)


def around(x: Tensor, count: int, segments: Tensor) -> list[Tensor]:
    """Returns `count` (odd) neighbours centred on t: "same" padding, from left to right."""
    return [neighbour(x, j - count // 2, segments) for j in range(count)]


def behind(x: Tensor, count: int, context: Context, tail: Tensor) -> tuple[list[Tensor], State]:
    """Returns `[x_t, x_{t-1}, …, x_{t-count+1}]` and the tail after x.

    Args:
        x: [B, T, ...].
        count: neighbours, the current position included.
        context: its segments limit the neighbours and mark the real new positions, so that the tail
            of a row padded on the right holds its last real positions.
        tail: [B, count - 1, ...], the last positions before x, or None for a whole sequence.
    """
    if tail is None:
        return [neighbour(x, -j, context.segments) for j in range(count)], ()
    size, new = count - 1, x.shape[1]
    row = ops.concatenate([tail, ops.cast(x, tail.dtype)], axis=1)  # [B, count - 1 + T, ...]
    windows = [slice(size - j, size - j + new) for j in range(count)]
    neighbours = [row[:, window] for window in windows]
    if context.segments is None:
        return neighbours, latest(row, None, size, None)
    owners = slot_segments(context, context.segments, size)  # [B, count - 1 + T]
    inside = [ops.equal(owners[:, window], context.segments) for window in windows]
    neighbours = [ops.where(like(own, x), y, 0) for own, y in zip(inside, neighbours, strict=True)]
    return neighbours, latest(row, owners, size, context.segments)


def weigh(neighbours: Sequence[Tensor], taps: Tensor) -> Tensor:
    """Returns `Σ_j taps_j ⊙ neighbours_j` for taps [k, ...]."""
    taps = ops.cast(taps, neighbours[0].dtype)
    return sum(x * taps[j] for j, x in enumerate(neighbours))


@part
class CausalConvolution(Branch):
    """`y_t = Σ_j taps_j ⊙ x_{t-j}`, j = 0 … k - 1: one filter per channel, the current tap first.

    Works on x [B, T, D], or on projected heads [B, T, H, K] as in Primer: channels do not mix, so
    it makes no difference whether heads are split before or after.

    Args:
        kernel_size: taps k, the current position included (Primer 3).
        kernel_initializer: name or factory of the initial taps; Primer's weigh the current
            position with 1/2 and each one before with 1/(2k).

    State: the last k - 1 positions of x, [B, k - 1, ...]; zero before the first.

    Raises:
        LayerError: if `kernel_size` is less than 1.

    Source: So et al. 2021 (https://arxiv.org/abs/2109.08668), multi-DConv-head attention.
    Departures: neighbours in another packed example count as zero, and decoding keeps a tail; the
    release does neither.
    """

    logical_axes: ClassVar = {"taps": ("unmodeled", "embed")}

    def __init__(
        self,
        *,
        kernel_size: PositiveInt = 3,
        kernel_initializer: Initializer = CurrentFirst,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.kernel_size = check_kernel_size(kernel_size, "CausalConvolution")
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Shape) -> None:
        self.channels = tuple(x_shape[2:])
        self.taps = self.add_weight(
            shape=(self.kernel_size, *self.channels),
            initializer=self.kernel_initializer,
            name="taps",
        )

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        x = ops.cast(x, self.compute_dtype)
        neighbours, tail = behind(x, self.kernel_size, context, state)
        return weigh(neighbours, self.taps), tail

    def initial_state(self, batch: int, length: int) -> State:
        return self.initial_carry(batch)

    def initial_carry(self, batch: int) -> State:
        return ops.zeros((batch, self.kernel_size - 1, *self.channels), self.compute_dtype)


@part
class Convolution(keras.layers.Layer):
    """`Σ_j x_j W_j + b` over neighbours x_j: D → F with one matrix per neighbour.

    Takes the list of neighbours, k of [B, T, D], and returns [B, T, F].

    Args:
        filters: width F of the result.
        kernel_initializer: name or factory of the initial values of W, [k, D, F].
    """

    def __init__(
        self,
        *,
        filters: PositiveInt,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.filters = filters
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, neighbours_shape: Sequence[Shape]) -> None:
        width = neighbours_shape[0][-1]
        self.kernel = self.add_weight(
            shape=(len(neighbours_shape), width, self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, neighbours: Sequence[Tensor]) -> Tensor:
        x = ops.concatenate(neighbours, axis=-1)  # [B, T, k·D]
        kernel = ops.cast(self.kernel, x.dtype)
        y = ops.matmul(x, ops.reshape(kernel, (-1, self.filters)))
        return y + ops.cast(self.bias, x.dtype)


@part
class SeparableConvolution(keras.layers.Layer):
    """`(Σ_j taps_j ⊙ x_j) W + b` over neighbours x_j: a filter per channel, then D → F.

    Takes the list of neighbours, k of [B, T, D], and returns [B, T, F].

    Args:
        filters: width F of the result.
        kernel_initializer: name or factory of the initial values of taps, [k, D, 1], and W.

    Source: Chollet 2017 (https://arxiv.org/abs/1610.02357); one filter per channel, without bias
    before W, as TensorFlow's `SeparableConv1D`.
    """

    def __init__(
        self,
        *,
        filters: PositiveInt,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_initializer = initializer(kernel_initializer)
        self.pointwise = Dense(
            filters, kernel_initializer=initializer(kernel_initializer), name="pointwise"
        )

    def build(self, neighbours_shape: Sequence[Shape]) -> None:
        # The last axis makes the fans of the initializer those of a convolution.
        self.taps = self.add_weight(
            shape=(len(neighbours_shape), neighbours_shape[0][-1], 1),
            initializer=self.kernel_initializer,
            name="taps",
        )

    def call(self, neighbours: Sequence[Tensor]) -> Tensor:
        return self.pointwise(weigh(neighbours, self.taps[:, :, 0]))


def check_kernel_size(kernel_size: int, owner: str) -> int:
    """Returns the number of taps, or refuses less than one."""
    if kernel_size < 1:
        raise LayerError(f"{owner}.kernel_size must be at least 1, got {kernel_size}")
    return kernel_size
