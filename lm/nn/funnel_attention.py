"""Relative attention between places of a row, of which the queries may be halved once more.

The score of a distance is computed in one of two forms, which are equal: `shifted` multiplies the
queries with one vector per distance, `factorised` turns queries and keys by their own places.
"""

import functools
from typing import Any, ClassVar, NamedTuple

import numpy as np
from keras import ops

from lm.errors import LayerError
from lm.nn.attention import attend
from lm.nn.branch import Branch, Context, State
from lm.nn.dropout import Dropout
from lm.nn.feedforward import make_dense
from lm.nn.initializers import initializer
from lm.parts import part
from lm.ranges import PositiveInt, UnitFloat

LONGEST = 10_000.0


class Waves(NamedTuple):
    """`[sin(p · w), cos(p · w)]` of places and distances p, with D/2 frequencies w.

    Attributes:
        query: [T, D], of the queries' places.
        key: [S, D], of the keys' places.
        distance: [S + r·T, D] where a query is as long as r keys: row n belongs to every query t
            and key s with n = s + r · (T - 1 - t).
    """

    query: Any
    key: Any
    distance: Any


class Relative(NamedTuple):
    """How queries and keys lie to each other, made by the stack for each pair of lengths.

    Attributes:
        waves: of the places.
        related: bool [B or 1, 1, T, S], True where place and type count: neither is a [CLS]; None
            where they always do.
        same_type: bool [B or 1, 1, T, S], or None where all tokens have the same type.
    """

    waves: Waves
    related: Any = None
    same_type: Any = None


def neighbours(x: Any) -> Relative:
    """Returns how the tokens of a row [B, T, D] lie to each other."""
    count, width = x.shape[1:]
    return Relative(
        Waves(*(ops.convert_to_tensor(w, x.dtype) for w in waves(count, 1, count, 1, width)))
    )


@functools.lru_cache(maxsize=64)
def waves(count: int, stride: int, keys: int, key_stride: int, width: int) -> Waves:
    """Returns the waves of a row that was halved to strides, in NumPy.

    A vector that stands for `stride` tokens has the place 1 + stride · (i - 1) of its first one.

    Args:
        count: number of queries T.
        stride: tokens that a query stands for.
        keys: number of keys S.
        key_stride: tokens that a key stands for.
        width: D, even.
    """
    if width % 2:
        raise LayerError(f"relative positions need an even width, got HIDDEN_DIM = {width}")
    ratio = stride // key_stride
    key = 1 + key_stride * (np.arange(keys + ratio * count) - 1)
    last = 1 + stride * (count - 2)
    return Waves(
        sinusoid(1 + stride * (np.arange(count) - 1), width),
        sinusoid(key[:keys], width),
        sinusoid(last - key, width),
    )


def sinusoid(places: np.ndarray, width: int) -> np.ndarray:
    """Returns float32 [.., D], sines before cosines, computed in float64."""
    half = width // 2
    angles = places[:, None] * LONGEST ** (-np.arange(half) / half)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1).astype("float32")


@part
def shifted(query: Any, kernel: Any, waves: Waves) -> Any:
    """Returns `q_t · (R(p_t - p_s) W)`, [B, H, T, S], from one product per distance.

    Row t of the products begins with its distances r · (T - 1 - t) places too early: read as one
    long line and cut into rows that are r shorter, all begin at their own first key.

    Args:
        query: [B, T, H, K].
        kernel: W, [D, H, K].
        waves: R(p) of the distances.

    Source: Dai et al. 2019 (https://arxiv.org/abs/1901.02860), appendix B; Dai et al. 2020
    (https://arxiv.org/abs/2006.03236), appendix A.2.1.
    """
    count, keys, size = query.shape[1], waves.key.shape[0], waves.distance.shape[0]
    ratio, heads = (size - keys) // count, query.shape[2]
    scores = ops.einsum("nd,dhk->nhk", waves.distance, kernel)
    scores = ops.einsum("bthk,nhk->bhtn", query, scores)
    first = ratio * (count - 1)
    line = ops.reshape(scores, (-1, heads, count * size))
    line = line[:, :, first : first + count * (size - ratio)]
    return ops.reshape(line, (-1, heads, count, size - ratio))[..., :keys]


@part
def factorised(query: Any, kernel: Any, waves: Waves) -> Any:
    """Returns `q_t · (R(p_t - p_s) W)`, [B, H, T, S], by the addition theorems.

    With a, b the halves of `W q_t`, and sines and cosines of the two places:
    `a sin(t - s) + b cos(t - s) = (b sin t - a cos t) sin s + (a sin t + b cos t) cos s`.

    Args:
        query: [B, T, H, K].
        kernel: W, [D, H, K].
        waves: R(p) of the places.

    Source: Dai et al. 2020 (https://arxiv.org/abs/2006.03236), appendix A.2.2.
    Departures: the paper's two products are one, of half the size.
    """
    a, b = ops.split(ops.einsum("bthk,dhk->bthd", query, kernel), 2, axis=-1)
    sin, cos = (part[:, None] for part in ops.split(waves.query, 2, axis=-1))  # [T, 1, D/2]
    turned = ops.concatenate([b * sin - a * cos, a * sin + b * cos], axis=-1)
    return ops.einsum("bthd,sd->bhts", turned, waves.key)


@part
class RelativeAttention(Branch):
    """`softmax((q + u)·k + related · ((q + v)·R W + (q + w)·G[same type])) v · W_o`.

    q carries the scale K^-0.5, and so do the biases u, v, w; R are the waves of the distance, G
    one vector for tokens of different types and one for the same. Where the context has a source
    (the halving layer), keys and values come from there.

    Args:
        num_heads: number of heads H.
        head_dim: width K of a head; None means D / H.
        distance: form of the distance's score: `shifted` (less work) or `factorised` (less
            memory traffic, as on a TPU).
        dropout: rate on the attention weights.
        kernel_initializer: name or factory for the initial values of all but the dense biases.

    Raises:
        LayerError: if the width does not divide by the heads and `head_dim` is not given.

    Source: Dai et al. 2020 (https://arxiv.org/abs/2006.03236), appendix A.2.
    """

    logical_axes: ClassVar = {
        "(query|key|value)/kernel": ("embed", "joined_kv"),
        "(query|key|value)/bias": ("joined_kv",),
        "output/kernel": ("joined_kv", "embed"),
        "(content|distance|type)_bias": ("heads", "kv"),
        "distance_kernel": ("embed", "heads", "kv"),
        "type_embeddings": ("unmodeled", "heads", "kv"),
    }

    def __init__(
        self,
        *,
        num_heads: PositiveInt,
        distance: Any,
        head_dim: PositiveInt | None = None,
        dropout: UnitFloat = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.num_heads = num_heads
        self.head_dim: Any = head_dim
        self.distance = distance
        self.dropout = Dropout(rate=dropout, name="dropout")
        self.initializers = [initializer(kernel_initializer) for _ in range(9)]

    def build(self, x_shape: Any) -> None:
        width = x_shape[-1]
        if self.head_dim is None and width % self.num_heads:
            raise LayerError(
                f"a width of {width} does not divide into num_heads = {self.num_heads}: "
                "change HIDDEN_DIM or NUM_HEADS, or bind head_dim"
            )
        self.head_dim = self.head_dim or width // self.num_heads
        inner, head = self.num_heads * self.head_dim, (self.num_heads, self.head_dim)
        draws = iter(self.initializers)
        self.query_dense = make_dense(
            "query", inner, use_bias=False, kernel_initializer=next(draws)
        )
        self.key_dense = make_dense("key", inner, use_bias=True, kernel_initializer=next(draws))
        self.value_dense = make_dense("value", inner, use_bias=True, kernel_initializer=next(draws))
        self.output_dense = make_dense(
            "output", width, use_bias=True, kernel_initializer=next(draws)
        )
        shapes = {
            "content_bias": head,
            "distance_bias": head,
            "type_bias": head,
            "distance_kernel": (width, *head),
            "type_embeddings": (2, *head),
        }
        self.own = {
            name: self.add_weight(shape=shape, initializer=next(draws), name=name)
            for name, shape in shapes.items()
        }

    def call(self, x: Any, context: Context, state: State = None) -> tuple[Any, State]:
        del state
        x = ops.cast(x, self.compute_dtype)
        source = ops.cast(context.source.x, self.compute_dtype) if context.source else x
        relative = context.relative or neighbours(x)
        own = {name: ops.cast(w, self.compute_dtype) for name, w in self.own.items()}
        query, key, value = (
            ops.reshape(layer(y), (-1, y.shape[1], self.num_heads, self.head_dim))
            for layer, y in (
                (self.query_dense, x),
                (self.key_dense, source),
                (self.value_dense, source),
            )
        )
        content, placed, typed = (
            (query + own[f"{name}_bias"]) * self.head_dim**-0.5
            for name in ("content", "distance", "type")
        )
        scores = self.distance(placed, own["distance_kernel"], relative.waves)
        scores = scores + by_type(typed, own["type_embeddings"], relative.same_type)
        bias = ops.cast(scores, "float32")
        if relative.related is not None:
            bias = ops.where(relative.related, bias, 0.0)
        y = attend(content, key, value, context.mask, bias, self.dropout)
        y = ops.reshape(y, (-1, x.shape[1], self.num_heads * self.head_dim))
        return self.output_dense(y), ()

    def initial_state(self, batch: int, length: int) -> State:
        raise LayerError(
            "RelativeAttention reads whole rows and keeps no cache: it cannot go step by step; "
            "bind an attention that can, such as attention.SelfAttention"
        )


def by_type(query: Any, embeddings: Any, same_type: Any) -> Any:
    """Returns `q_t · G[1 if of the same type else 0]`, [B, H, T, S or 1]."""
    scores = ops.einsum("bthk,ghk->bhtg", query, embeddings)
    if same_type is None:
        return scores[..., 1:]
    return ops.where(same_type, scores[..., 1:], scores[..., :1])
