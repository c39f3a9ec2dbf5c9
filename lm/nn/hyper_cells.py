"""LSTM cells with layer norm, or with gates scaled by a smaller LSTM (HyperLSTM)."""

import functools
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import keras
from keras import ops

from lm.nn.branch import Factory, State, make
from lm.nn.cells import HiddenAndMemory, Product, in_turn
from lm.nn.initializers import Initializer, OrthogonalGates, initializer
from lm.nn.kernels import Dense
from lm.nn.lstm_row import activated
from lm.nn.norm import LayerNorm
from lm.nn.projections import built_dense, make_dense
from lm.nn.scan import Flow
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Layer, Shape, Tensor

GATES = ("input", "forget", "output", "candidate")
EPSILON = 1e-3


class HyperState(NamedTuple):
    """State of a `HyperLSTM`: its own h and c, [B, D], and that of the smaller cell, [B, M]."""

    h: Tensor
    c: Tensor
    hyper: HiddenAndMemory


@part
class LayerNormLSTM(keras.layers.Layer):
    """`c_t = σ(f) ⊙ c_{t-1} + σ(i) ⊙ tanh(g)`, `h_t = σ(o) ⊙ tanh(LN(c_t))`.

    Each of the gates `[i, f, o, g]` is `LN(x_t W + h_{t-1} U)`, with a scale and a bias of its own.

    Args:
        forget_bias: added to f.
        kernel_initializer: name or factory of the initial values of W.
        recurrent_initializer: the same of U.

    State: `HiddenAndMemory`.

    Source: Ha et al. 2017 (https://arxiv.org/abs/1609.09106), appendix A.2; Ba et al. 2016
    (https://arxiv.org/abs/1607.06450).
    """

    logical_axes: ClassVar = {"(inputs|recurrent)/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        forget_bias: float = 1.0,
        kernel_initializer: Initializer = OrthogonalGates,
        recurrent_initializer: Initializer = OrthogonalGates,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.forget_bias = forget_bias
        self.kernel_initializer = initializer(kernel_initializer)
        self.recurrent_initializer = initializer(recurrent_initializer)
        self.norms = make_norms(functools.partial(LayerNorm, epsilon=EPSILON))

    def build(self, x_shape: Shape, units: int | None = None) -> None:
        """Creates the variables for x [..., D] and states of so many units, by default D."""
        units = units or x_shape[-1]
        self.inputs = built_dense("inputs", x_shape, 4 * units, self.kernel_initializer)
        self.recurrent = built_dense("recurrent", (units,), 4 * units, self.recurrent_initializer)
        build_norms(self.norms, units)

    def call(self, x: Tensor, flow: Flow, state: State) -> tuple[Tensor, State]:
        return in_turn(self.step, self.inputs(x), flow, state)

    def step(
        self, x: Tensor, state: HiddenAndMemory, recurrent: Product | None = None
    ) -> HiddenAndMemory:
        """Returns the state after a position, given `x_t W`."""
        product = (recurrent or self.recurrent)(state.h)
        gates = ops.split(ops.cast(x + product, "float32"), 4, axis=-1)
        h, c = normalized_lstm(gates, state.c, self.norms, self.forget_bias)
        return HiddenAndMemory(ops.cast(h, x.dtype), c)

    def initial_state(self, batch: int, width: int) -> HiddenAndMemory:
        h, c = (ops.zeros((batch, width), dtype) for dtype in (self.compute_dtype, "float32"))
        return HiddenAndMemory(h, c)


@part
class HyperLSTM(keras.layers.Layer):
    """An LSTM whose gates are scaled by another one: `y = N(d_h ⊙ h_{t-1} U + d_x ⊙ x_t W + b)`.

    With ĥ_t the output of the smaller cell, which reads `[h_{t-1}; x_t]`, each gate y of
    `[i, f, o, g]` has

        d_h = (ĥ_t A_h + a_h) B_h      d_x = (ĥ_t A_x + a_x) B_x      b = ĥ_t A_b B_b + b_0

    and the state follows as in `LayerNormLSTM`, or without norms as in `cells.LSTM`.

    Args:
        hyper: factory of the smaller cell: `LayerNormLSTM` or `cells.LSTM`.
        hyper_dim: its units M (128).
        embedding_dim: width of `ĥ_t A` for each gate (4; 16 for a large one).
        norm: factory of N, one for each gate, and of the norm of c; None leaves them out.
        forget_bias: added to f.
        kernel_initializer: name or factory of the initial values of W.
        recurrent_initializer: the same of U.

    State: `HyperState`.

    Source: Ha et al. 2017 (https://arxiv.org/abs/1609.09106), appendix A.2.3, and its release,
    which uses ĥ_t where the text has ĥ_{t-1}.
    Departures: no recurrent dropout.
    """

    logical_axes: ClassVar = {
        "(inputs|recurrent|hyper_hidden|scale_hidden|scale_inputs|shift)/kernel": (
            "embed",
            "unmodeled",
        ),
        "(hidden|inputs|shift)_rows": ("unmodeled", "unmodeled", "unmodeled"),
    }

    def __init__(
        self,
        *,
        hyper: Factory,
        hyper_dim: PositiveInt = 128,
        embedding_dim: PositiveInt = 4,
        norm: Factory | None = None,
        forget_bias: float = 1.0,
        kernel_initializer: Initializer = "glorot_uniform",
        recurrent_initializer: Initializer = OrthogonalGates,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.hyper = make(hyper, "hyper")
        self.hyper_dim = hyper_dim
        self.embedding_dim = embedding_dim
        self.norms = make_norms(norm) if norm else None
        self.forget_bias = forget_bias
        self.kernel_initializer = initializer(kernel_initializer)
        self.recurrent_initializers = [initializer(recurrent_initializer) for _ in range(2)]

    def build(self, x_shape: Shape) -> None:
        width, small, rows = x_shape[-1], self.hyper_dim, 4 * self.embedding_dim
        one, other = self.recurrent_initializers
        self.inputs = built_dense("inputs", x_shape, 4 * width, self.kernel_initializer)
        self.recurrent = built_dense("recurrent", x_shape, 4 * width, one)
        self.hyper.build(x_shape, small)
        self.hyper_hidden = built_dense("hyper_hidden", x_shape, 4 * small, other)
        # At the start A is 0, a is 1 and every scale d is 0.1.
        self.scale_hidden, self.scale_inputs = (
            Dense(rows, kernel_initializer="zeros", bias_initializer="ones", name=f"scale_{name}")
            for name in ("hidden", "inputs")
        )
        narrow = keras.initializers.RandomNormal(stddev=0.01)
        self.shift = make_dense("shift", rows, narrow, use_bias=False)
        for dense in (self.scale_hidden, self.scale_inputs, self.shift):
            dense.build((small,))
        tenth = keras.initializers.Constant(0.1 / self.embedding_dim)
        self.hidden_rows = self._rows("hidden_rows", width, tenth)
        self.inputs_rows = self._rows("inputs_rows", width, tenth)
        self.shift_rows = self._rows("shift_rows", width, "zeros")
        self.bias = self.add_weight(shape=(4 * width,), initializer="zeros", name="bias")
        build_norms(self.norms or {}, width)

    def _rows(self, name: str, width: int, init: Any) -> Any:
        """Returns B of the four gates, [4, N, D]."""
        return self.add_weight(shape=(4, self.embedding_dim, width), initializer=init, name=name)

    def call(self, x: Tensor, flow: Flow, state: State) -> tuple[Tensor, State]:
        return in_turn(self.both, (self.inputs(x), self.hyper.inputs(x)), flow, state)

    def both(self, x: tuple[Tensor, Tensor], state: HyperState) -> HyperState:
        """Returns the state after a position, given `x_t W` and the smaller cell's inputs."""
        mine, small = x
        hyper = self.hyper.step(small + self.hyper_hidden(state.h), state.hyper)
        gates = (
            self.scaled(self.scale_hidden, self.hidden_rows, hyper.h) * self.recurrent(state.h)
            + self.scaled(self.scale_inputs, self.inputs_rows, hyper.h) * mine
            + self.scaled(self.shift, self.shift_rows, hyper.h)
            + ops.cast(self.bias, mine.dtype)
        )
        gates = ops.split(ops.cast(gates, "float32"), 4, axis=-1)
        h, c = normalized_lstm(gates, state.c, self.norms, self.forget_bias)
        return HyperState(ops.cast(h, mine.dtype), c, hyper)

    def scaled(self, narrow: Any, rows: Any, h: Tensor) -> Tensor:
        """Returns `(ĥ A + a) B` of the four gates side by side, [B, 4D]."""
        z = ops.reshape(narrow(h), (-1, 4, self.embedding_dim))
        d = ops.einsum("bgn,gnd->bgd", z, ops.cast(rows, z.dtype))
        return ops.reshape(d, (-1, 4 * d.shape[2]))

    def initial_state(self, batch: int, width: int) -> HyperState:
        h, c = (ops.zeros((batch, width), dtype) for dtype in (self.compute_dtype, "float32"))
        return HyperState(h, c, self.hyper.initial_state(batch, self.hyper_dim))


def make_norms(norm: Factory) -> dict[str, Layer]:
    """Returns the norms of the four gates and of the memory."""
    return {name: norm(name=f"{name}_norm") for name in (*GATES, "memory")}


def build_norms(norms: Mapping[str, Layer], units: int) -> None:
    """Creates the variables of norms over so many units."""
    for norm in norms.values():
        norm.build((units,))


def normalized_lstm(
    gates: list[Tensor], c: Tensor, norms: Any, forget_bias: float
) -> tuple[Tensor, Tensor]:
    """Returns h and c, float32, of four gates before their norms; None leaves the norms out."""
    if norms:
        gates = [norms[name](gate) for name, gate in zip(GATES, gates, strict=True)]
    i, f, o, g = activated([ops.cast(gate, "float32") for gate in gates], forget_bias)
    c = f * c + i * g
    return o * ops.tanh(norms["memory"](c) if norms else c), c
