"""An LSTM over a sequence with a custom gradient: one product for the recurrent matrix.

The automatic gradient of a loop adds to the gradient of U [D, 4D] at every position, which moves
far more memory than everything else. Here the backward loop computes only the gradients of the
gates; the gradient of U is one product of all states with all of them, after the loop.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from lm.nn.branch import State
from lm.nn.scan import Flow, loop
from lm.types import Tensor


class Step(NamedTuple):
    """Result of a position: h, c and the gates i, f, o, g, float32 [B, 6D]; h and c."""

    left: Tensor
    h: Tensor
    c: Tensor


class Slopes(NamedTuple):
    """Gradients before a position, float32: of its gates [B, 4D], of h and of c [B, D]."""

    gates: Tensor
    h: Tensor
    c: Tensor


def activated(gates: Sequence[Tensor], forget_bias: float) -> tuple[Tensor, ...]:
    """Returns `σ(i), σ(f + forget_bias), σ(o), tanh(g)` of the gates i, f, o, g, [B, D] each."""
    i, f, o, g = gates
    return ops.sigmoid(i), ops.sigmoid(f + forget_bias), ops.sigmoid(o), ops.tanh(g)


def lstm_row(x: Tensor, kernel: Tensor, flow: Flow, state: State, *, forget_bias: float) -> Tensor:
    """Returns h and c after each position, float32 [B, T, 2D].

    `[i, f, o, g] = x_t + h_{t-1} U`, `c_t = σ(f + forget_bias) ⊙ c_{t-1} + σ(i) ⊙ tanh(g)`,
    `h_t = σ(o) ⊙ tanh(c_t)`.

    Args:
        x: projected inputs [B, T, 4D].
        kernel: U [D, 4D], in the type of x.
        flow: where the previous state is reset, is kept, or is a constant.
        state: h and c [B, D] before the first position.
        forget_bias: added to f.
    """

    @ops.custom_gradient
    def differentiable(x: Tensor, kernel: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Any]:
        left = forward(x, kernel, flow, (h, c), forget_bias)  # [B, T, 6D]
        width = h.shape[-1]
        after = left[..., : 2 * width]

        def gradient(*args: Tensor, upstream: Tensor = None) -> tuple[Tensor, ...]:
            upstream = args[0] if upstream is None else upstream
            first = ops.concatenate([ops.cast(h, "float32"), c], axis=-1)[:, None]
            before = ops.concatenate([first, after[:, :-1]], axis=1)
            before = ops.where(flow.resets, 0.0, before)
            slopes, last = backward(upstream, left[..., 2 * width :], before, kernel, flow)
            slopes = ops.cast(slopes, x.dtype)
            rows = ops.reshape(before[..., :width], (-1, width))
            of_kernel = ops.matmul(
                ops.transpose(ops.cast(rows, x.dtype)), ops.reshape(slopes, (-1, 4 * width))
            )
            return slopes, of_kernel, ops.cast(last.h, h.dtype), last.c

        return after, gradient

    return differentiable(x, kernel, *state)


def forward(
    x: Tensor, kernel: Tensor, flow: Flow, state: tuple[Tensor, Tensor], forget_bias: float
) -> Tensor:
    """Returns the results of all positions, float32 [B, T, 6D]."""

    def step(now: tuple[Tensor, Flow], before: Step) -> Step:
        x, (reset, hold, _) = now
        h, c = (ops.where(reset, 0.0, s) for s in (before.h, before.c))
        gates = ops.cast(x + ops.matmul(h, kernel), "float32")
        i, f, o, g = activated(ops.split(gates, 4, axis=-1), forget_bias)
        after = f * c + i * g
        c = ops.where(hold, before.c, after)
        h = ops.where(hold, before.h, ops.cast(o * ops.tanh(after), x.dtype))
        return Step(ops.concatenate([ops.cast(h, "float32"), c, i, f, o, g], axis=-1), h, c)

    h, c = state
    nothing = ops.zeros((ops.shape(h)[0], 6 * h.shape[-1]), "float32")
    return loop(step, (x, flow), Step(nothing, ops.cast(h, x.dtype), c))[0]


def backward(
    upstream: Tensor, gates: Tensor, before: Tensor, kernel: Tensor, flow: Flow
) -> tuple[Tensor, Slopes]:
    """Returns the gradients of the gates [B, T, 4D], and those before the first position.

    Args:
        upstream: gradients of h and c after each position, [B, T, 2D].
        gates: activated gates, [B, T, 4D].
        before: h and c before each position, [B, T, 2D].
        kernel: U [D, 4D].
        flow: as in `lstm_row`.
    """
    transposed = ops.transpose(kernel)

    def step(now: Any, later: Slopes) -> Slopes:
        upstream, gates, before, (reset, hold, cut) = now
        from_h, from_c = ops.split(upstream, 2, axis=-1)
        i, f, o, g = ops.split(gates, 4, axis=-1)
        memory = ops.split(before, 2, axis=-1)[1]
        tanh = ops.tanh(f * memory + i * g)
        h, c = later.h + from_h, later.c + from_c  # after the position
        own_h, own_c = ops.where(hold, 0.0, h), ops.where(hold, 0.0, c)
        own_c = own_c + own_h * o * (1 - tanh * tanh)
        slopes = ops.concatenate(
            [
                own_c * g * i * (1 - i),
                own_c * memory * f * (1 - f),
                own_h * tanh * o * (1 - o),
                own_c * i * (1 - g * g),
            ],
            axis=-1,
        )
        read_h = ops.cast(ops.matmul(ops.cast(slopes, kernel.dtype), transposed), "float32")
        # Through the gates of the position, and through the state where it is kept.
        h = ops.where(reset, 0.0, read_h) + ops.where(hold, h, 0.0)
        c = ops.where(reset, 0.0, own_c * f) + ops.where(hold, c, 0.0)
        return Slopes(slopes, ops.where(cut, 0.0, h), ops.where(cut, 0.0, c))

    backwards = keras.tree.map_structure(
        lambda y: ops.flip(y, axis=1), (upstream, gates, before, flow)
    )
    zero = ops.zeros_like(before[:, 0, : before.shape[-1] // 2])
    found, last = loop(step, backwards, Slopes(ops.zeros_like(gates[:, 0]), zero, zero))
    return ops.flip(found, axis=1), last
