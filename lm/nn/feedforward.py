"""Position-wise feed-forward branches, plain and gated."""

import functools
from collections.abc import Sequence
from typing import ClassVar

import keras
from keras import ops

from lm.nn.branch import Branch, Context, Factory, State, chain, make_all
from lm.nn.dropout import Dropout
from lm.nn.initializers import Initializer, initializer
from lm.nn.projections import make_dense
from lm.parts import part
from lm.ranges import PositiveInt, UnitFloat
from lm.types import Activation, Shape, Tensor


@part
def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by its tanh approximation, as GPT-2 and T5 1.1 were trained with (Hendrycks 2016)."""
    return keras.activations.gelu(x, approximate=True)


@part
def gelu_erf(x: Tensor) -> Tensor:
    """Exact GELU, x·Φ(x), as BERT in its public releases (Hendrycks, Gimpel 2016)."""
    return keras.activations.gelu(x, approximate=False)


@part
def squared_relu(x: Tensor) -> Tensor:
    """`max(x, 0)²` with derivative `2 max(x, 0)` (So et al. 2021); float16 overflows from x = 256.

    >>> print(np.asarray(squared_relu(ops.array([-2.0, 3.0]))))
    [0. 9.]
    """
    return ops.square(ops.relu(x))


@part
class FeedForward(Branch):
    """`activation(x W_in + b_in) W_out + b_out`, D → F → D, at each position separately.

    Args:
        intermediate_dim: hidden width F.
        activation: function of the hidden layer, e.g. `keras.activations.relu`.
        use_bias: whether the two matrices add a bias.
        dropout: rate on the hidden layer.
        inner: factories of layers between the hidden layer and W_out, such as a norm.
        kernel_initializer: name or factory for the initial values of both matrices.
        output_initializer: the same for W_out, if it differs.
        dense: factory of the dense layers; None is Keras' Dense. Experts: `moe.ExpertDense`.

    Source: Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762), section 3.3.
    """

    logical_axes: ClassVar = {
        "hidden/kernel": ("embed", "mlp"),
        "hidden/bias": ("mlp",),
        "output/kernel": ("mlp", "embed"),
    }

    def __init__(  # noqa: PLR0913 - each one is a number or a choice of the papers
        self,
        *,
        intermediate_dim: PositiveInt,
        activation: Activation,
        use_bias: bool = True,
        dropout: UnitFloat = 0.0,
        inner: Sequence[Factory] = (),
        kernel_initializer: Initializer = "glorot_uniform",
        output_initializer: Initializer | None = None,
        dense: Factory | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.activation = activation
        self.dropout = Dropout(rate=dropout, name="dropout")
        self.dense = functools.partial(make_dense, use_bias=use_bias, factory=dense)
        self.hidden = self.dense("hidden", intermediate_dim, initializer(kernel_initializer))
        self.inner = make_all(inner, "inner")
        self.output_initializer = initializer(output_initializer or kernel_initializer)

    def build(self, x_shape: Shape) -> None:
        self.output_dense = self.dense("output", x_shape[-1], self.output_initializer)

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        del context, state
        hidden = self.activation(self.hidden(ops.cast(x, self.compute_dtype)))  # [B, T, F]
        return self.output_dense(chain(self.inner, self.dropout(hidden))), ()


@part
class GatedFeedForward(Branch):
    """`(activation(x W_gate) ⊙ x W_in) W_out`: the GLU family, named by its activation.

    Sigmoid gives GLU, ReLU ReGLU, GELU GEGLU, swish SwiGLU. With 2F/3 it has as many parameters as
    a plain feed-forward layer of width F.

    Args:
        intermediate_dim: hidden width F.
        activation: function of the gate.
        use_bias: whether the three matrices add a bias.
        dropout: rate on the hidden product.
        kernel_initializer: name or factory for the initial values of the three matrices.
        dense: factory of the dense layers; None is Keras' Dense. Experts: `moe.ExpertDense`.

    Source: Shazeer 2020 (https://arxiv.org/abs/2002.05202); T5 1.1 uses the tanh GELU.
    """

    logical_axes: ClassVar = {
        "(gate|hidden)/kernel": ("embed", "mlp"),
        "(gate|hidden)/bias": ("mlp",),
        "output/kernel": ("mlp", "embed"),
    }

    def __init__(
        self,
        *,
        intermediate_dim: PositiveInt,
        activation: Activation,
        use_bias: bool = False,
        dropout: UnitFloat = 0.0,
        kernel_initializer: Initializer = "glorot_uniform",
        dense: Factory | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.activation = activation
        self.dense = functools.partial(make_dense, use_bias=use_bias, factory=dense)
        self.gate = self.dense("gate", intermediate_dim, initializer(kernel_initializer))
        self.hidden = self.dense("hidden", intermediate_dim, initializer(kernel_initializer))
        self.dropout = Dropout(rate=dropout, name="dropout")
        self.output_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Shape) -> None:
        self.output_dense = self.dense("output", x_shape[-1], self.output_initializer)

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        del context, state
        x = ops.cast(x, self.compute_dtype)
        hidden = self.activation(self.gate(x)) * self.hidden(x)  # [B, T, F]
        return self.output_dense(self.dropout(hidden)), ()
