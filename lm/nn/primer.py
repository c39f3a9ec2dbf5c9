"""What Primer adds beside squared ReLU and convolved projections: shared QK and its norm.

`feedforward.squared_relu`, `convolution.CausalConvolution` after each projection of
`attention.SelfAttention`, and lists of residuals for the order of the norms are the rest;
`gin/models/{primer_ez,primer}` join them, one binding each.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.attention import width_of_a_head
from lm.nn.initializers import initializer
from lm.parts import part
from lm.ranges import PositiveInt


@part
class SharedHeads(keras.layers.Layer):
    """One projection u for query and key: `k = u`, `q = u W_s · scale` with W_s [H·K, H·K].

    W_s mixes the heads; what follows the projections (`SelfAttention.after_projection`) follows u
    once, before W_s. The value has a projection of its own.

    Args:
        num_heads: number of heads H.
        head_dim: width K of a head; None means D / H.
        use_bias: whether the projections add a bias.
        scale: factor on the query; None means K^-0.5, T5 and Primer use 1.
        kernel_initializer: name or factory for the initial values of W_s and of the value.
        query_initializer: the same for u; the release leaves it the small one of T5's query, so
            that keys start small as well.
        output_initializer: the same for the output, where it differs.

    Raises:
        LayerError: if the width does not divide by the heads and `head_dim` is not given.

    Source: So et al. 2021 (https://arxiv.org/abs/2109.08668), appendix, and its release.
    """

    logical_axes: ClassVar = {
        "(query|value)/kernel": ("embed", "joined_kv"),
        "(query|value)/bias": ("joined_kv",),
        "mix/kernel": ("unmodeled", "joined_kv"),
        "output/kernel": ("joined_kv", "embed"),
    }

    projections = ("query", "value")

    def __init__(
        self,
        *,
        num_heads: PositiveInt,
        head_dim: PositiveInt | None,
        use_bias: bool,
        scale: float | None,
        kernel_initializer: Any,
        query_initializer: Any,
        output_initializer: Any,
        name: str = "heads",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.num_heads = num_heads
        self.head_dim: Any = head_dim
        self.use_bias = use_bias
        self.scale = scale
        self.query_initializer = initializer(query_initializer or kernel_initializer)
        self.mix_initializer = initializer(kernel_initializer)
        self.value_initializer = initializer(kernel_initializer)
        self.output_initializer = initializer(output_initializer or kernel_initializer)

    def build(self, x_shape: Any, memory_shape: Any) -> None:
        width = x_shape[-1]
        self.head_dim = self.head_dim or width_of_a_head(width, self.num_heads)
        self.scale = self.head_dim**-0.5 if self.scale is None else self.scale
        inner = self.num_heads * self.head_dim
        merged_shape = (*x_shape[:-1], inner)
        self.query_dense = self.dense("query", x_shape, inner, self.query_initializer)
        self.mix_dense = self.dense("mix", merged_shape, inner, self.mix_initializer)
        self.value_dense = self.dense("value", memory_shape, inner, self.value_initializer)
        self.output_dense = self.dense("output", merged_shape, width, self.output_initializer)

    def dense(self, name: str, input_shape: Any, units: int, kernel_initializer: Any) -> Any:
        use_bias = self.use_bias and name != "mix"
        layer = keras.layers.Dense(
            units, use_bias=use_bias, kernel_initializer=kernel_initializer, name=name
        )
        layer.build(input_shape)
        return layer

    def project(self, x: Any, source: Any) -> tuple[Any, ...]:
        """[B, T, D] → [B, T, H, K] for each of `projections`."""
        if source is not x:
            raise LayerError(
                "SharedHeads makes queries and keys of one row, and this stack has them of two: "
                "bind SelfAttention.heads = None"
            )
        return self.split(self.query_dense(x)), self.split(self.value_dense(x))

    def roles(self, projected: Sequence[Any]) -> tuple[Any, Any, Any]:
        """Returns query (scaled), key and value, [B, T, H, K] each."""
        key, value = projected
        return self.split(self.mix_dense(self.flat(key))) * self.scale, key, value

    def merge(self, x: Any) -> Any:
        """[B, T, H, K] → [B, T, D]."""
        return self.output_dense(self.flat(x))

    def split(self, x: Any) -> Any:
        return ops.reshape(x, (-1, x.shape[1], self.num_heads, self.head_dim))

    def flat(self, x: Any) -> Any:
        return ops.reshape(x, (-1, x.shape[1], self.num_heads * self.head_dim))


@part
class PrimerNorm(keras.layers.Layer):
    """`(x - mean) / sqrt(mean(x (x - mean)) + epsilon) · scale + bias`, over the last axis.

    The pseudo-variance `mean(x (x - mean))` is the variance in exact arithmetic. Rounded, it can
    fall below zero where the mean is large beside the spread; so it is computed in float32,
    whatever the compute type, and never taken below zero.

    Args:
        epsilon: added to the pseudo-variance (the release: 1e-6).

    Source: So et al. 2021 (https://arxiv.org/abs/2109.08668), appendix, and its release.
    Departures: the floor at zero and float32; the release computes in bfloat16, where a negative
    value means NaN.
    """

    def __init__(self, *, epsilon: float = 1e-6, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        width = (input_shape[-1],)
        self.scale = self.add_weight(shape=width, initializer="ones", name="scale")
        self.bias = self.add_weight(shape=width, initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        x = ops.cast(x, "float32")
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        pseudo_variance = ops.maximum(ops.mean(x * centred, axis=-1, keepdims=True), 0)
        y = centred * ops.rsqrt(pseudo_variance + self.epsilon) * self.scale + self.bias
        return ops.cast(y, self.compute_dtype)
