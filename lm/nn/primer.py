"""Primer's shared queries and keys, and its norm.

The rest of Primer is `feedforward.squared_relu`, `convolution.CausalConvolution` after each
projection of `attention.SelfAttention`, and the order of norms in a residual;
`gin/models/{primer_ez,primer}` combine them, one binding each.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.projections import HeadOptions, built_dense, join_heads, split_heads
from lm.parts import part
from lm.types import Shape, Tensor


@part
class SharedHeads(keras.layers.Layer):
    """One projection u for query and key: `k = u`, `q = u W_s · scale` with W_s [H·K, H·K].

    W_s mixes the heads. `SelfAttention.after_projection` is applied to u once, before W_s. Values
    have their own projection.

    Args:
        options: sizes and initializers. u uses the query's initializer, W_s that of the kernels; in
            the release u has the small initial values of T5's query, so that keys start small too.

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

    def __init__(self, options: HeadOptions, *, name: str = "heads") -> None:
        super().__init__(name=name, autocast=False)
        self.options = options
        self.initializers = options.initializers("query", "mix", "value", "output")

    def build(self, x_shape: Shape, source_shape: Shape) -> None:
        width = x_shape[-1]
        self.options = self.options.sized(width)
        inner = self.options.inner_dim
        merged_shape = (*x_shape[:-1], inner)
        self.query_dense = self.dense("query", x_shape, inner)
        self.mix_dense = self.dense("mix", merged_shape, inner)
        self.value_dense = self.dense("value", source_shape, inner)
        self.output_dense = self.dense("output", merged_shape, width)

    def dense(self, name: str, input_shape: Shape, units: int) -> Any:
        use_bias = self.options.use_bias and name != "mix"
        return built_dense(name, input_shape, units, self.initializers[name], use_bias=use_bias)

    def project(self, x: Tensor, source: Tensor) -> tuple[Tensor, ...]:
        """[B, T, D] → [B, T, H, K] for each of `projections`."""
        if source is not x:
            raise LayerError(
                "SharedHeads makes queries and keys of one row, and this stack has them of two: "
                "bind SelfAttention.heads = None"
            )
        return tuple(self.split(dense(x)) for dense in (self.query_dense, self.value_dense))

    def roles(self, projected: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Returns query (scaled), key and value, [B, T, H, K] each."""
        key, value = projected
        query = self.split(self.mix_dense(join_heads(key)))
        return query * self.options.scale, key, value

    def merge(self, x: Tensor) -> Tensor:
        """[B, T, H, K] → [B, T, D]."""
        return self.output_dense(join_heads(x))

    def split(self, x: Tensor) -> Tensor:
        return split_heads(x, self.options.num_heads)


@part
class PrimerNorm(keras.layers.Layer):
    """`(x - mean) / sqrt(mean(x (x - mean)) + epsilon) · scale + bias`, over the last axis.

    The pseudo-variance `mean(x (x - mean))` equals the variance in exact arithmetic. With rounding
    it can be negative if the mean is large compared with the deviation; so it is computed in
    float32, for any compute dtype, and clipped at zero.

    Args:
        epsilon: added to the pseudo-variance (the release: 1e-6).

    Source: So et al. 2021 (https://arxiv.org/abs/2109.08668), appendix, and its release.
    Departures: float32 and clipping at zero; the release computes in bfloat16, where a negative
    value gives NaN.
    """

    def __init__(self, *, epsilon: float = 1e-6, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        width = (input_shape[-1],)
        self.scale = self.add_weight(shape=width, initializer="ones", name="scale")
        self.bias = self.add_weight(shape=width, initializer="zeros", name="bias")

    def call(self, x: Tensor) -> Tensor:
        x = ops.cast(x, "float32")
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        pseudo_variance = ops.maximum(ops.mean(x * centred, axis=-1, keepdims=True), 0)
        y = centred * ops.rsqrt(pseudo_variance + self.epsilon) * self.scale + self.bias
        return ops.cast(y, self.compute_dtype)
