"""ENAS cells: recurrent cells of gated nodes, found by architecture search."""

from collections.abc import Sequence
from typing import ClassVar

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import State
from lm.nn.cells import Hidden, Product, in_turn
from lm.nn.initializers import Initializer, initializer
from lm.nn.projections import built_dense
from lm.nn.scan import Flow
from lm.parts import part
from lm.types import Shape, Tensor

FUNCTIONS = {"tanh": ops.tanh, "relu": ops.relu, "sigmoid": ops.sigmoid, "identity": lambda x: x}

PUBLISHED = (
    (0, "sigmoid"),
    (1, "tanh"),
    (2, "relu"),
    (2, "sigmoid"),
    (4, "tanh"),
    (5, "tanh"),
    (3, "sigmoid"),
    (6, "sigmoid"),
)
"""The nodes found by the release's search: for each, its predecessor and its function."""


@part
class ENASCell(keras.layers.Layer):
    """`h_t = (s_1 + … + s_n) / n`, the mean of nodes that each continue from an earlier one.

        s_0 = h_{t-1} + σ(u) ⊙ (tanh(g) - h_{t-1}),  [g, u] = x_t W + h_{t-1} U
        s_i = s_p + σ(u) ⊙ (f(g) - s_p),             [g, u] = s_p W_i

    Args:
        nodes: (p, f) of each node from the first on, p < i, f of `FUNCTIONS`; by default the
            published eight.
        kernel_initializer: name or factory of the initial values of W.
        recurrent_initializer: the same of U and of W_i, each.

    State: `Hidden`.

    Raises:
        LayerError: for a node that reads one not before it, or an unknown function.

    Source: Pham et al. 2018 (https://arxiv.org/abs/1802.03268), section 2.1, in the release of
    Google Research: the output is the mean of all nodes.
    Departures: the paper averages only the nodes that no other node reads.
    """

    logical_axes: ClassVar = {r"(inputs|recurrent|node_\d+)/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        nodes: Sequence[tuple[int, str]] = PUBLISHED,
        kernel_initializer: Initializer = "glorot_uniform",
        recurrent_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.nodes = checked(nodes)
        self.kernel_initializer = initializer(kernel_initializer)
        self.initializers = [initializer(recurrent_initializer) for _ in range(len(nodes) + 1)]

    def build(self, x_shape: Shape) -> None:
        units = 2 * x_shape[-1]
        self.inputs = built_dense("inputs", x_shape, units, self.kernel_initializer)
        names = ["recurrent", *(f"node_{i + 1}" for i in range(len(self.nodes)))]
        self.recurrent, *self.kernels = (
            built_dense(name, x_shape, units, init)
            for name, init in zip(names, self.initializers, strict=True)
        )

    def call(self, x: Tensor, flow: Flow, state: State) -> tuple[Tensor, State]:
        return in_turn(self.step, self.inputs(x), flow, state)

    def step(self, x: Tensor, state: Hidden, recurrent: Product | None = None) -> Hidden:
        """Returns the state after a position, given `x_t W`."""
        s = [moved(state.h, x + (recurrent or self.recurrent)(state.h), "tanh")]
        for (before, function), kernel in zip(self.nodes, self.kernels, strict=True):
            s.append(moved(s[before], kernel(s[before]), function))
        return Hidden(sum(s[2:], start=s[1]) / len(self.nodes))

    def initial_state(self, batch: int, width: int) -> Hidden:
        return Hidden(ops.zeros((batch, width), "float32"))


def moved(s: Tensor, gates: Tensor, function: str) -> Tensor:
    """Returns `s + σ(u) ⊙ (f(g) - s)` of [g, u], float32."""
    g, u = ops.split(ops.cast(gates, "float32"), 2, axis=-1)
    return s + ops.sigmoid(u) * (FUNCTIONS[function](g) - s)


def checked(nodes: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Returns the nodes, or refuses them."""
    for number, (before, function) in enumerate(nodes, 1):
        if not 0 <= before < number or function not in FUNCTIONS:
            raise LayerError(
                f"enas_cell.ENASCell.nodes: node {number} is ({before}, {function!r}); it reads a "
                f"node from 0 to {number - 1}, by {', '.join(FUNCTIONS)}"
            )
    return [(int(before), function) for before, function in nodes]
