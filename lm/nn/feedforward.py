"""Position-wise feed-forward branches, plain and gated."""

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from lm.nn.branch import Branch, Context, Factory, State, chain, make_all
from lm.nn.dropout import Dropout
from lm.nn.initializers import initializer
from lm.parts import part
from lm.ranges import PositiveInt, UnitFloat


@part
def gelu_tanh(x: Any) -> Any:
    """GELU by its tanh approximation, as GPT-2 and T5 1.1 were trained with (Hendrycks 2016)."""
    return keras.activations.gelu(x, approximate=True)


@part
def gelu_erf(x: Any) -> Any:
    """Exact GELU, x·Φ(x), as BERT in its public releases (Hendrycks, Gimpel 2016)."""
    return keras.activations.gelu(x, approximate=False)


@part
def squared_relu(x: Any) -> Any:
    """`max(x, 0)²` with derivative `2 max(x, 0)` (So et al. 2021); float16 overflows from x = 256.

    >>> print(np.asarray(squared_relu(ops.array([-2.0, 3.0]))))
    [0. 9.]
    """
    return ops.square(ops.relu(x))


def make_dense(
    name: str, units: int, use_bias: Any, kernel_initializer: Any, factory: Any = None
) -> Any:
    """Returns a named dense layer, or one that another factory makes of the same arguments."""
    return (factory or keras.layers.Dense)(
        units, use_bias=use_bias, kernel_initializer=kernel_initializer, name=name
    )


@part
class FeedForward(Branch):
    """`activation(x W_in + b_in) W_out + b_out`, D → F → D at every position alone.

    Args:
        intermediate_dim: hidden width F.
        activation: function of the hidden layer, e.g. `keras.activations.relu`.
        use_bias: whether the two matrices add a bias.
        dropout: rate on the hidden layer.
        inner: factories of layers between the hidden layer and W_out, such as a norm.
        kernel_initializer: name or factory for the initial values of both matrices.
        output_initializer: the same for W_out, where it differs.
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
        activation: Any,
        use_bias: bool = True,
        dropout: UnitFloat = 0.0,
        inner: Sequence[Factory] = (),
        kernel_initializer: Any = "glorot_uniform",
        output_initializer: Any = None,
        dense: Factory | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.activation = activation
        self.dropout = Dropout(rate=dropout, name="dropout")
        self.dense = dense
        drawn = initializer(kernel_initializer)
        self.hidden = make_dense("hidden", intermediate_dim, use_bias, drawn, dense)
        self.inner = make_all(inner, "inner")
        self.use_bias = use_bias
        self.output_initializer = initializer(output_initializer or kernel_initializer)

    def build(self, x_shape: Any) -> None:
        self.output_dense = make_dense(
            "output", x_shape[-1], self.use_bias, self.output_initializer, self.dense
        )

    def call(self, x: Any, context: Context, state: State = None) -> tuple[Any, State]:
        del context, state
        hidden = self.activation(self.hidden(ops.cast(x, self.compute_dtype)))  # [B, T, F]
        return self.output_dense(chain(self.inner, self.dropout(hidden))), ()


@part
class GatedFeedForward(Branch):
    """`(activation(x W_gate) ⊙ x W_in) W_out`: the GLU family, named by its activation.

    Sigmoid gives GLU, ReLU ReGLU, GELU GEGLU, swish SwiGLU. For the parameters of a plain
    feed-forward of width F take 2F/3.

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
        activation: Any,
        use_bias: bool = False,
        dropout: UnitFloat = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        dense: Factory | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.activation = activation
        self.use_bias = use_bias
        self.dense = dense
        drawn = initializer(kernel_initializer), initializer(kernel_initializer)
        self.gate = make_dense("gate", intermediate_dim, use_bias, drawn[0], dense)
        self.hidden = make_dense("hidden", intermediate_dim, use_bias, drawn[1], dense)
        self.dropout = Dropout(rate=dropout, name="dropout")
        self.output_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Any) -> None:
        self.output_dense = make_dense(
            "output", x_shape[-1], self.use_bias, self.output_initializer, self.dense
        )

    def call(self, x: Any, context: Context, state: State = None) -> tuple[Any, State]:
        del context, state
        x = ops.cast(x, self.compute_dtype)
        hidden = self.activation(self.gate(x)) * self.hidden(x)  # [B, T, F]
        return self.output_dense(self.dropout(hidden)), ()
