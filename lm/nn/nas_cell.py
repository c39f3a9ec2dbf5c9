"""The NAS cell: a recurrent cell found by architecture search."""

from typing import ClassVar

import keras
from keras import ops

from lm.nn.branch import State
from lm.nn.cells import HiddenAndMemory, Product, in_turn
from lm.nn.initializers import Initializer, initializer
from lm.nn.projections import built_dense
from lm.nn.scan import Flow
from lm.parts import part
from lm.types import Shape, Tensor


@part
class NASCell(keras.layers.Layer):
    """`c_t = m_0 ⊙ m_1`, `h_t = tanh(c_t ⊙ tanh(m_2 + m_3))`, a tree over eight products.

    With `a = x_t W` and `b = h_{t-1} U`, eight blocks each:

        l_0 = σ(a_0 + b_0)       l_1 = relu(a_1 + b_1)    m_0 = tanh(tanh(l_0 ⊙ l_1) + c_{t-1})
        l_2 = σ(a_2 + b_2)       l_3 = relu(a_3 ⊙ b_3)    m_1 = tanh(l_2 + l_3)
        l_4 = tanh(a_4 + b_4)    l_5 = σ(a_5 + b_5)       m_2 = tanh(l_4 ⊙ l_5)
        l_6 = tanh(a_6 + b_6)    l_7 = σ(a_7 + b_7)       m_3 = σ(l_6 + l_7)

    Args:
        kernel_initializer: name or factory of the initial values of W.
        recurrent_initializer: the same of U.

    State: `HiddenAndMemory`.

    Source: Zoph, Le 2017 (https://arxiv.org/abs/1611.01578), figure 8, base 8, without biases.
    """

    logical_axes: ClassVar = {"(inputs|recurrent)/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        kernel_initializer: Initializer = "glorot_uniform",
        recurrent_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_initializer = initializer(kernel_initializer)
        self.recurrent_initializer = initializer(recurrent_initializer)

    def build(self, x_shape: Shape) -> None:
        units = 8 * x_shape[-1]
        self.inputs = built_dense("inputs", x_shape, units, self.kernel_initializer)
        self.recurrent = built_dense("recurrent", x_shape, units, self.recurrent_initializer)

    def call(self, x: Tensor, flow: Flow, state: State) -> tuple[Tensor, State]:
        return in_turn(self.step, self.inputs(x), flow, state)

    def step(
        self, x: Tensor, state: HiddenAndMemory, recurrent: Product | None = None
    ) -> HiddenAndMemory:
        """Returns the state after a position, given `x_t W`."""
        a = ops.split(ops.cast(x, "float32"), 8, axis=-1)
        b = ops.split(ops.cast((recurrent or self.recurrent)(state.h), "float32"), 8, axis=-1)
        s = [left + right for left, right in zip(a, b, strict=True)]
        m_0 = ops.tanh(ops.sigmoid(s[0]) * ops.relu(s[1]))
        m_1 = ops.tanh(ops.sigmoid(s[2]) + ops.relu(a[3] * b[3]))
        m_2 = ops.tanh(ops.tanh(s[4]) * ops.sigmoid(s[5]))
        m_3 = ops.sigmoid(ops.tanh(s[6]) + ops.sigmoid(s[7]))
        c = ops.tanh(m_0 + state.c) * m_1
        h = ops.tanh(c * ops.tanh(m_2 + m_3))
        return HiddenAndMemory(ops.cast(h, x.dtype), c)

    def initial_state(self, batch: int, width: int) -> HiddenAndMemory:
        h, c = (ops.zeros((batch, width), dtype) for dtype in (self.compute_dtype, "float32"))
        return HiddenAndMemory(h, c)
