"""SRU: a recurrent cell whose gates depend only on its input."""

from typing import ClassVar, NamedTuple

import keras
from keras import ops

from lm.nn.branch import State
from lm.nn.cells import refuse_cuts
from lm.nn.initializers import Initializer, initializer
from lm.nn.projections import built_dense
from lm.nn.scan import Flow, linear_scan
from lm.parts import part
from lm.types import Shape, Tensor


class Memory(NamedTuple):
    """State of the cell, float32 [B, D]."""

    c: Tensor


@part
class SRU(keras.layers.Layer):
    """`c_t = f ⊙ c_{t-1} + (1 - f) ⊙ x_t W`, `h_t = r ⊙ tanh(c_t) + (1 - r) ⊙ x_t`.

    The gates are `[f, r] = σ(x_t W_g + b)`. They do not depend on the state, so all positions are
    computed in parallel.

    Args:
        kernel_initializer: name or factory of the initial values of `[W_g, W]`.

    State: `Memory`.

    Source: Lei et al. 2018 (https://arxiv.org/abs/1709.02755), in the form of its first version.
    Departures: in the last version the gates also read c_{t-1}, elementwise, and the recurrence is
    not linear.
    """

    logical_axes: ClassVar = {"inputs/kernel": ("embed", "unmodeled")}

    def __init__(
        self, *, kernel_initializer: Initializer = "glorot_uniform", name: str | None = None
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Shape) -> None:
        width = x_shape[-1]
        self.inputs = built_dense("inputs", x_shape, 3 * width, self.kernel_initializer)
        self.bias = self.add_weight(shape=(2 * width,), initializer="zeros", name="bias")

    def call(self, x: Tensor, flow: Flow, state: State) -> tuple[Tensor, State]:
        refuse_cuts(self, flow)
        width, projected = x.shape[-1], ops.cast(self.inputs(x), "float32")
        gates = ops.sigmoid(projected[..., : 2 * width] + ops.cast(self.bias, "float32"))
        f, r = ops.split(gates, 2, axis=-1)
        f = ops.where(flow.holds, 1.0, f)
        new = (1 - f) * projected[..., 2 * width :]
        c = linear_scan(ops.where(flow.resets, 0.0, f), new, state.c)
        return r * ops.tanh(c) + (1 - r) * ops.cast(x, "float32"), Memory(c[:, -1])

    def initial_state(self, batch: int, width: int) -> Memory:
        return Memory(ops.zeros((batch, width), "float32"))
