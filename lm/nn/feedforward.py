"""Position-wise feed-forward branches, plain and gated."""

from typing import Any

import keras
from keras import ops

from lm.nn.branch import Branch, Context, State
from lm.nn.dropout import Dropout
from lm.nn.initializers import initializer


def gelu_tanh(x: Any) -> Any:
    """GELU by its tanh approximation, as GPT-2 and T5 1.1 were trained with (Hendrycks 2016)."""
    return keras.activations.gelu(x, approximate=True)


def gelu_erf(x: Any) -> Any:
    """Exact GELU, x·Φ(x), as BERT in its public releases (Hendrycks, Gimpel 2016)."""
    return keras.activations.gelu(x, approximate=False)


def dense(name: str, units: int, use_bias: Any, kernel_initializer: Any) -> Any:
    """Returns a named dense layer."""
    return keras.layers.Dense(
        units, use_bias=use_bias, kernel_initializer=kernel_initializer, name=name
    )


class FeedForward(Branch):
    """`activation(x W_in + b_in) W_out + b_out`, D → F → D at every position alone.

    Args:
        intermediate_dim: hidden width F.
        activation: function of the hidden layer, e.g. `keras.activations.relu`.
        use_bias: whether the two matrices add a bias.
        dropout: rate on the hidden layer.
        kernel_initializer: name or factory for the initial values of both matrices.
        output_initializer: the same for W_out, where it differs.

    Source: Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762), section 3.3.
    """

    def __init__(
        self,
        *,
        intermediate_dim: int,
        activation: Any,
        use_bias: bool = True,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        output_initializer: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.activation = activation
        self.dropout = Dropout(rate=dropout, name="dropout")
        self.hidden = dense("hidden", intermediate_dim, use_bias, initializer(kernel_initializer))
        self.use_bias = use_bias
        self.output_initializer = initializer(output_initializer or kernel_initializer)

    def build(self, x_shape: Any) -> None:
        self.output_dense = dense("output", x_shape[-1], self.use_bias, self.output_initializer)

    def call(self, x: Any, context: Context, state: State = None) -> tuple[Any, State]:
        del context, state
        hidden = self.activation(self.hidden(ops.cast(x, self.compute_dtype)))  # [B, T, F]
        return self.output_dense(self.dropout(hidden)), ()


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

    Source: Shazeer 2020 (https://arxiv.org/abs/2002.05202); T5 1.1 uses the tanh GELU.
    """

    def __init__(
        self,
        *,
        intermediate_dim: int,
        activation: Any,
        use_bias: bool = False,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.activation = activation
        self.use_bias = use_bias
        self.gate = dense("gate", intermediate_dim, use_bias, initializer(kernel_initializer))
        self.hidden = dense("hidden", intermediate_dim, use_bias, initializer(kernel_initializer))
        self.dropout = Dropout(rate=dropout, name="dropout")
        self.output_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Any) -> None:
        self.output_dense = dense("output", x_shape[-1], self.use_bias, self.output_initializer)

    def call(self, x: Any, context: Context, state: State = None) -> tuple[Any, State]:
        del context, state
        x = ops.cast(x, self.compute_dtype)
        hidden = self.activation(self.gate(x)) * self.hidden(x)  # [B, T, F]
        return self.output_dense(self.dropout(hidden)), ()
