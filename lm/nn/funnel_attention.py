"""Relative attention within a row; the queries may be pooled more than the keys.

The logit of a distance has two equivalent forms: `shifted` multiplies the queries by one vector per
distance, `factorised` rotates queries and keys by their own positions.
"""

import functools
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, State
from lm.nn.dropout import Dropout
from lm.nn.initializers import Initializer, initializer
from lm.nn.projections import HeadOptions, attend, join_heads, make_dense, split_heads
from lm.parts import part
from lm.ranges import PositiveInt, UnitFloat
from lm.types import Layer, Shape, Tensor

MAX_WAVELENGTH = 10_000.0

RELATIVE_WEIGHTS = (
    "content_bias",
    "distance_bias",
    "type_bias",
    "distance_kernel",
    "type_embeddings",
)
RELATIVE_AXES = {
    "(content|distance|type)_bias": ("heads", "kv"),
    "distance_kernel": ("embed", "heads", "kv"),
    "type_embeddings": ("unmodeled", "heads", "kv"),
}


class Sinusoids(NamedTuple):
    """`[sin(p · w), cos(p · w)]` of positions and distances p, with D/2 frequencies w.

    Attributes:
        query: [T, D], for the queries' positions.
        key: [S, D], for the keys' positions.
        distance: [S + r·T, D] where a query stands for r keys: row n belongs to every query t and
            key s with n = s + r · (T - 1 - t).
    """

    query: Tensor
    key: Tensor
    distance: Tensor


class Relative(NamedTuple):
    """Relative positions and types of queries and keys, computed by the stack per pair of lengths.

    Attributes:
        sinusoids: of the positions.
        related: bool [B or 1, 1, T, S], True where position and type count: neither is a [CLS];
            None if they always do.
        same_type: bool [B or 1, 1, T, S], or None if all tokens have the same type.
    """

    sinusoids: Sinusoids
    related: Tensor = None
    same_type: Tensor = None


def within_row(x: Tensor) -> Relative:
    """Returns the relative positions of the tokens of a row [B, T, D]."""
    count, width = x.shape[1:]
    sinusoids = relative_sinusoids(count, 1, count, 1, width)
    return Relative(Sinusoids(*(ops.convert_to_tensor(each, x.dtype) for each in sinusoids)))


@functools.lru_cache(maxsize=64)
def relative_sinusoids(
    count: int, stride: int, keys: int, key_stride: int, width: int
) -> Sinusoids:
    """Returns the sinusoids of a row pooled to strides, in NumPy.

    A vector that stands for `stride` tokens has the position of its first, 1 + stride · (i - 1).

    Args:
        count: number of queries T.
        stride: number of tokens per query.
        keys: number of keys S.
        key_stride: number of tokens per key.
        width: D, even.
    """
    if width % 2:
        raise LayerError(f"relative positions need an even width, got HIDDEN_DIM = {width}")
    ratio = stride // key_stride
    key = 1 + key_stride * (np.arange(keys + ratio * count) - 1)
    last = 1 + stride * (count - 2)
    return Sinusoids(
        sinusoid(1 + stride * (np.arange(count) - 1), width),
        sinusoid(key[:keys], width),
        sinusoid(last - key, width),
    )


def sinusoid(positions: np.ndarray, width: int) -> np.ndarray:
    """Returns float32 [.., D], sines before cosines, computed in float64."""
    half = width // 2
    angles = positions[:, None] * MAX_WAVELENGTH ** (-np.arange(half) / half)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1).astype("float32")


@part
def shifted(query: Tensor, kernel: Tensor, sinusoids: Sinusoids) -> Tensor:
    """Returns `q_t · (R(p_t - p_s) W)`, [B, H, T, S], from one product per distance.

    Args:
        query: [B, T, H, K].
        kernel: W, [D, H, K].
        sinusoids: R(p) of the distances.

    Source: Dai et al. 2019 (https://arxiv.org/abs/1901.02860), appendix B; Dai et al. 2020
    (https://arxiv.org/abs/2006.03236), appendix A.2.1.
    """
    vectors = ops.einsum("nd,dhk->nhk", sinusoids.distance, kernel)
    products = ops.einsum("bthk,nhk->bhtn", query, vectors)  # [B, H, T, S + r·T]
    return by_key(products, sinusoids.key.shape[0])


def by_key(products: Tensor, keys: int) -> Tensor:
    """Returns one product per key, [B, H, T, S], given one per distance, [B, H, T, S + r·T].

    Row t starts r · (T - 1 - t) columns too early. Flattened and cut into rows that are shorter by
    r, all rows start at their own first key.
    """
    heads, count, size = products.shape[1:]
    ratio = (size - keys) // count
    first = ratio * (count - 1)
    line = ops.reshape(products, (-1, heads, count * size))
    line = line[:, :, first : first + count * (size - ratio)]
    return ops.reshape(line, (-1, heads, count, size - ratio))[..., :keys]


@part
def factorised(query: Tensor, kernel: Tensor, sinusoids: Sinusoids) -> Tensor:
    """Returns `q_t · (R(p_t - p_s) W)`, [B, H, T, S], by the addition theorems.

    With a, b the halves of `W q_t`, and sines and cosines of the two positions:
    `a sin(t - s) + b cos(t - s) = (b sin t - a cos t) sin s + (a sin t + b cos t) cos s`.

    Args:
        query: [B, T, H, K].
        kernel: W, [D, H, K].
        sinusoids: R(p) of the positions.

    Source: Dai et al. 2020 (https://arxiv.org/abs/2006.03236), appendix A.2.2.
    Departures: the paper's two products are merged into one of half the size.
    """
    a, b = ops.split(ops.einsum("bthk,dhk->bthd", query, kernel), 2, axis=-1)
    sin, cos = (half[:, None] for half in ops.split(sinusoids.query, 2, axis=-1))  # [T, 1, D/2]
    rotated = ops.concatenate([b * sin - a * cos, a * sin + b * cos], axis=-1)  # [B, T, H, D]
    return ops.einsum("bthd,sd->bhts", rotated, sinusoids.key)


@part
class RelativeAttention(Branch):
    """`softmax((q + u)·k + related · ((q + v)·R W + (q + w)·G[same type])) v · W_o`.

    q and the biases u, v, w are scaled by K^-0.5; R are the sinusoids of the distance, G one vector
    for tokens of different types and one for the same type. If the context has a source (in the
    pooling layer), keys and values come from it.

    Args:
        num_heads: number of heads H.
        head_dim: width K of a head; None means D / H.
        distance: form of the distance's logit: `shifted` (less work) or `factorised` (less
            memory traffic, as on a TPU).
        dropout: rate on the attention weights.
        kernel_initializer: name or factory for the initial values of all but the dense biases.

    Raises:
        LayerError: the width is not divisible by the number of heads and `head_dim` is not given.

    Source: Dai et al. 2020 (https://arxiv.org/abs/2006.03236), appendix A.2.
    """

    logical_axes: ClassVar = {
        "(query|key|value)/kernel": ("embed", "joined_kv"),
        "(query|key|value)/bias": ("joined_kv",),
        "output/kernel": ("joined_kv", "embed"),
        **RELATIVE_AXES,
    }

    def __init__(
        self,
        *,
        num_heads: PositiveInt,
        distance: Any,
        head_dim: PositiveInt | None = None,
        dropout: UnitFloat = 0.0,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.options = HeadOptions(num_heads, head_dim)
        self.distance = distance
        self.dropout = Dropout(rate=dropout, name="dropout")
        self.initializers = [initializer(kernel_initializer) for _ in range(9)]

    def build(self, x_shape: Shape) -> None:
        width = x_shape[-1]
        self.options = self.options.sized(width)
        inner = self.options.inner_dim
        draws = iter(self.initializers)
        self.query_dense = make_dense("query", inner, next(draws), use_bias=False)
        self.key_dense = make_dense("key", inner, next(draws), use_bias=True)
        self.value_dense = make_dense("value", inner, next(draws), use_bias=True)
        self.output_dense = make_dense("output", width, next(draws), use_bias=True)
        # u, v, w, W, G
        drawn = dict(zip(RELATIVE_WEIGHTS, draws, strict=True))
        self.own = relative_weights(self, drawn, x_shape, self.options)

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        del state
        x = ops.cast(x, self.compute_dtype)
        source = ops.cast(context.source.x, self.compute_dtype) if context.source else x
        query = split_heads(self.query_dense(x), self.options.num_heads)  # [B, T, H, K]
        key = split_heads(self.key_dense(source), self.options.num_heads)  # [B, S, H, K]
        value = split_heads(self.value_dense(source), self.options.num_heads)
        own = {name: ops.cast(w, self.compute_dtype) for name, w in self.own.items()}
        content, distance, of_type = (
            (query + own[f"{name}_bias"]) * self.options.scale
            for name in ("content", "distance", "type")
        )
        relative = context.relative or within_row(x)
        bias = self.distance(distance, own["distance_kernel"], relative.sinusoids)
        bias = bias + by_type(of_type, own["type_embeddings"], relative.same_type)
        bias = ops.cast(bias, "float32")  # [B, H, T, S]
        if relative.related is not None:
            bias = ops.where(relative.related, bias, 0.0)
        y = attend(content, key, value, context.mask, bias, self.dropout)
        return self.output_dense(join_heads(y)), ()

    def initial_state(self, batch: int, length: int) -> State:
        raise LayerError(
            "RelativeAttention reads whole rows and keeps no cache: it cannot go step by step; "
            "bind an attention that can, such as attention.SelfAttention"
        )


def relative_weights(
    layer: Layer, initializers: Mapping[str, Any], x_shape: Shape, options: HeadOptions
) -> dict[str, Any]:
    """Adds weights of `RELATIVE_WEIGHTS` to an attention: biases [H, K], W [D, H, K], G [2, H, K].

    Args:
        layer: the attention layer.
        initializers: one for each weight to add.
        x_shape: shape of its inputs, [..., D].
        options: `sized` options.
    """
    head = (options.num_heads, options.head_dim)
    rows = {"distance_kernel": x_shape[-1], "type_embeddings": 2}
    return {
        name: layer.add_weight(
            shape=(rows[name], *head) if name in rows else head, initializer=drawn, name=name
        )
        for name, drawn in initializers.items()
    }


def by_type(query: Tensor, embeddings: Tensor, same_type: Tensor) -> Tensor:
    """Returns `q_t · G[1 if types are equal else 0]`, [B, H, T, S or 1]."""
    products = ops.einsum("bthk,ghk->bhtg", query, embeddings)
    if same_type is None:
        return products[..., 1:]
    return ops.where(same_type, products[..., 1:], products[..., :1])
