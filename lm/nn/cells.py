"""Recurrent cells.

A cell is a layer `(x [B, T, D], flow, state) -> (h [B, T, D], state after)` that keeps the width of
x. The inputs of all positions are projected in one product before the loop. States that accumulate
over the length are float32 in any compute dtype. On a mesh no matrix is split along its gates,
since the next position needs all of h.

A cell for `stepping` has, once built, `inputs(x)`, the projections of any number of positions;
`recurrent(h)`, the product with U; and `step(inputs of a position, state, recurrent)`, which takes
another function in place of that product.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeAlias

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Factory, State, make
from lm.nn.initializers import Initializer, initializer
from lm.nn.kernels import Dense, matrix
from lm.nn.lstm_row import activated, lstm_row
from lm.nn.projections import built_dense
from lm.nn.scan import Flow, linear_scan, loop
from lm.parts import part
from lm.types import Layer, Shape, Tensor, Tree

Product: TypeAlias = Callable[[Tensor], Tensor]
"""h [B, D] -> h U, [B, …]."""


class Hidden(NamedTuple):
    """State of a cell whose state is its output, float32 [B, D]."""

    h: Tensor


class HiddenAndMemory(NamedTuple):
    """State of an LSTM, [B, D] each: output in the compute dtype, and memory cell in float32."""

    h: Tensor
    c: Tensor


@part
class LSTM(keras.layers.Layer):
    """`c_t = σ(f) ⊙ c_{t-1} + σ(i) ⊙ tanh(g)`, `h_t = σ(o) ⊙ tanh(c_t)`.

    The gates are `[i, f, o, g] = x_t W + h_{t-1} U + b`.

    Args:
        forget_bias: added to f, so that the cell remembers from the start (1; Sutskever: 0).
        use_bias: whether to add b.
        kernel_initializer: name or factory for the initial values of W.
        recurrent_initializer: the same for U.
        bias_initializer: the same for b.

    State: `HiddenAndMemory`.

    Source: Hochreiter, Schmidhuber 1997; Gers et al. 2000 (the forget gate); Jozefowicz et al. 2015
    (its bias).
    """

    logical_axes: ClassVar = {"(inputs|recurrent)/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        forget_bias: float = 1.0,
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.forget_bias = forget_bias
        self.use_bias = use_bias
        self.kernel_initializer = initializer(kernel_initializer)
        self.recurrent_initializer = initializer(recurrent_initializer)
        self.bias_initializer = initializer(bias_initializer)

    def build(self, x_shape: Shape, units: int | None = None) -> None:
        """Creates the variables for x [..., D] and states of width `units`, by default D."""
        units = units or x_shape[-1]
        self.inputs = Dense(
            4 * units,
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            name="inputs",
        )
        self.inputs.build(x_shape)
        self.recurrent = built_dense("recurrent", (units,), 4 * units, self.recurrent_initializer)

    def call(self, x: Tensor, flow: Flow, state: State) -> tuple[Tensor, State]:
        x = self.inputs(x)
        kernel = ops.cast(matrix(self.recurrent.kernel), x.dtype)
        after = lstm_row(x, kernel, with_cuts(flow), state, forget_bias=self.forget_bias)
        h, c = ops.split(after, 2, axis=-1)
        h = ops.cast(h, x.dtype)
        return h, HiddenAndMemory(h[:, -1], c[:, -1])

    def step(
        self, x: Tensor, state: HiddenAndMemory, recurrent: Product | None = None
    ) -> HiddenAndMemory:
        """Returns the state after a position, given `x_t W + b`."""
        gates = ops.cast(x + (recurrent or self.recurrent)(state.h), "float32")
        i, f, o, g = activated(ops.split(gates, 4, axis=-1), self.forget_bias)
        c = f * state.c + i * g
        return HiddenAndMemory(ops.cast(o * ops.tanh(c), x.dtype), c)

    def initial_state(self, batch: int, width: int) -> HiddenAndMemory:
        h, c = (ops.zeros((batch, width), dtype) for dtype in (self.compute_dtype, "float32"))
        return HiddenAndMemory(h, c)


@part
class GRU(keras.layers.Layer):
    """`h_t = z ⊙ h_{t-1} + (1 - z) ⊙ tanh(x_t W_h + (r ⊙ h_{t-1}) U_h + b_h)`.

    The gates are `[r, z] = σ(x_t W + h_{t-1} U + b)`.

    Args:
        kernel_initializer: name or factory for the initial values of `[W, W_h]`.
        recurrent_initializer: the same for U and U_h.

    State: `Hidden`.

    Source: Cho et al. 2014 (https://arxiv.org/abs/1406.1078), section 2.3.
    """

    logical_axes: ClassVar = {"(inputs|recurrent|candidate)/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        kernel_initializer: Initializer = "glorot_uniform",
        recurrent_initializer: Initializer = "orthogonal",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_initializer = initializer(kernel_initializer)
        self.initializers = [initializer(recurrent_initializer) for _ in range(2)]

    def build(self, x_shape: Shape) -> None:
        width = x_shape[-1]
        self.inputs = built_dense(
            "inputs", x_shape, 3 * width, self.kernel_initializer, use_bias=True
        )
        self.recurrent = built_dense("recurrent", x_shape, 2 * width, self.initializers[0])
        self.candidate = built_dense("candidate", x_shape, width, self.initializers[1])

    def call(self, x: Tensor, flow: Flow, state: State) -> tuple[Tensor, State]:
        return in_turn(self.step, self.inputs(x), flow, state)

    def step(self, x: Tensor, state: Hidden, recurrent: Product | None = None) -> Hidden:
        """Returns the state after a position, given `x_t [W, W_h] + [b, b_h]`."""
        h, width = state.h, state.h.shape[-1]
        gates = ops.cast(x[:, : 2 * width] + (recurrent or self.recurrent)(h), "float32")
        r, z = ops.split(ops.sigmoid(gates), 2, axis=-1)
        new = ops.cast(x[:, 2 * width :] + self.candidate(r * h), "float32")
        return Hidden(z * h + (1 - z) * ops.tanh(new))

    def initial_state(self, batch: int, width: int) -> Hidden:
        return Hidden(ops.zeros((batch, width), "float32"))


@part
class MinGRU(keras.layers.Layer):
    """`h_t = (1 - z) ⊙ h_{t-1} + z ⊙ (x_t W_h + b_h)` with `z = σ(x_t W_z + b_z)`.

    No gate depends on h, so all positions are computed in parallel.

    Args:
        kernel_initializer: name or factory for the initial values of `[W_z, W_h]`.

    State: `Hidden`.

    Source: Feng et al. 2024 (https://arxiv.org/abs/2410.01201), section 3.1.
    """

    logical_axes: ClassVar = {"inputs/kernel": ("embed", "unmodeled")}

    def __init__(
        self, *, kernel_initializer: Initializer = "glorot_uniform", name: str | None = None
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Shape) -> None:
        units = 2 * x_shape[-1]
        self.inputs = built_dense("inputs", x_shape, units, self.kernel_initializer, use_bias=True)

    def call(self, x: Tensor, flow: Flow, state: State) -> tuple[Tensor, State]:
        gates, new = ops.split(ops.cast(self.inputs(x), "float32"), 2, axis=-1)
        refuse_cuts(self, flow)
        z = ops.where(flow.holds, 0.0, ops.sigmoid(gates))
        h = linear_scan(ops.where(flow.resets, 0.0, 1 - z), z * new, state.h)
        return h, Hidden(h[:, -1])

    def initial_state(self, batch: int, width: int) -> Hidden:
        return Hidden(ops.zeros((batch, width), "float32"))


def stepping(factory: Factory, name: str = "cell") -> Layer:
    """Makes a cell that can be stepped position by position.

    Raises:
        LayerError: the cell has no `step`.
    """
    cell = make(factory, name)
    if not hasattr(cell, "step"):
        raise LayerError(
            f"{type(cell).__name__} cannot be stepped position by position: bind "
            "cells.LSTM, cells.GRU, hyper_cells.LayerNormLSTM, nas_cell.NASCell or "
            "enas_cell.ENASCell"
        )
    return cell


def in_turn(
    step: Callable[[Any, State], State], inputs: Tree, flow: Flow, state: State
) -> tuple[Tensor, State]:
    """Applies a step at each position in order.

    Args:
        step: `(inputs of a position [B, ...], state) -> state`, h its first field.
        inputs: projections of x, a tree of [B, T, ...].
        flow: where the state is reset and held.
        state: state before the first position.

    Returns:
        h after each position, [B, T, D], and the last state.
    """

    def flowing(now: tuple[Tree, Tensor, Tensor, Tensor], state: State) -> State:
        x, reset, hold, cut = now
        state = state if has_no_cuts(flow) else stopped(cut, state)
        fresh = keras.tree.map_structure(lambda s: ops.where(reset, 0.0, s), state)
        return keras.tree.map_structure(
            lambda old, new: ops.where(hold, old, new), state, step(x, fresh)
        )

    return loop(flowing, (inputs, *flow), state)


def with_cuts(flow: Flow) -> Flow:
    """Returns a flow whose cuts are a mask, False everywhere if there were none."""
    return flow._replace(cuts=ops.zeros_like(flow.resets)) if has_no_cuts(flow) else flow


def stopped(cut: Tensor, state: State) -> State:
    """Stops the gradient through the state in the rows of a mask, bool [B, 1]."""
    return keras.tree.map_structure(lambda s: ops.where(cut, ops.stop_gradient(s), s), state)


def has_no_cuts(flow: Flow) -> bool:
    """Returns whether gradients pass through all states."""
    return isinstance(flow.cuts, tuple)


def refuse_cuts(cell: Layer, flow: Flow) -> None:
    """Refuses truncation for a cell that processes all positions in parallel.

    Raises:
        LayerError: gradients are to be cut; the message names the cell.
    """
    if not has_no_cuts(flow):
        raise LayerError(
            f"recurrent.Recurrent.truncation: {type(cell).__name__} computes all positions at "
            "once and has no state to cut: bind a cell that steps, such as cells.LSTM, or None"
        )
