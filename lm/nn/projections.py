"""Building blocks of attention: dense layers, heads, dot products, with or without a cache."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Factory
from lm.nn.cache import by_prompt
from lm.nn.fused_attention import attend_fused, is_fused
from lm.nn.initializers import Initializer, initializer
from lm.nn.kernels import Dense
from lm.nn.query_blocks import attend_in_blocks, is_long
from lm.types import Layer, Shape, Tensor


def make_dense(
    name: str,
    units: int,
    kernel_initializer: Any,
    *,
    use_bias: bool,
    factory: Factory | None = None,
) -> Layer:
    """Returns a dense layer, or the layer that another factory makes from the same arguments."""
    return (factory or Dense)(
        units, use_bias=use_bias, kernel_initializer=kernel_initializer, name=name
    )


def built_dense(
    name: str, input_shape: Shape, units: int, kernel_initializer: Any, *, use_bias: bool = False
) -> Layer:
    """Returns a dense layer with its variables already built for an input shape."""
    layer = make_dense(name, units, kernel_initializer, use_bias=use_bias)
    layer.build(input_shape)
    return layer


class KeyValue(NamedTuple):
    """Keys and values, [B, S, H, K] each, or head-first [B, H, S, K]."""

    key: Tensor
    value: Tensor


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, bias: Tensor, dropout: Layer
) -> Tensor:
    """Returns `softmax(q·kᵀ + bias) v`, [B, T, H, K]; the softmax runs in float32.

    Args:
        query: [B, T, H, K], already scaled.
        key: [B, S, H, K].
        value: [B, S, H, K].
        mask: bool [B or 1, 1, T, S] or None; masked positions get weight exactly zero.
        bias: float32 [B or 1, H, T, S] or None.
        dropout: layer applied to the attention weights.
    """
    return attend_by_head(query, by_head(key), by_head(value), mask, bias, dropout)


def attend_by_head(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, bias: Tensor, dropout: Layer
) -> Tensor:
    """Returns the result of `attend` for head-first keys and values [B, H, S, K].

    Caches are head-first, as matrix products read them, so no step transposes them. Long sequences
    of queries are processed in blocks, see `lm.nn.query_blocks`; what the accelerator has a kernel
    for, at once, see `lm.nn.fused_attention`.
    """
    if is_fused(query, key, bias, dropout):
        return attend_fused(query, key, value, mask)
    if is_long(query):
        return attend_in_blocks(attend_at_once, query, (key, value), mask, bias, dropout)
    return attend_at_once(query, key, value, mask, bias, dropout)


def attend_at_once(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    bias: Tensor,
    dropout: Callable[[Tensor], Tensor],
) -> Tensor:
    """Returns the result of `attend_by_head`, with the logits of all queries in memory."""
    logits = ops.cast(dot_products(query, key), "float32")  # [B, H, T, S]
    if bias is not None:
        logits = logits + bias
    if mask is not None:
        logits = ops.where(mask, logits, -1e9)
    weights = dropout(ops.cast(ops.softmax(logits), value.dtype))
    return ops.einsum("bhts,bhsk->bthk", weights, value)


def attend_shared(
    query: Tensor, cached: KeyValue, mask: Tensor, bias: Tensor, dropout: Layer
) -> Tensor:
    """Returns the attention of the N sequences of every prompt to its cache, [B·N, T, H, K].

    Args:
        query: [B·N, T, H, K], already scaled.
        cached: keys and values, [B, H, S, K] each.
        mask: bool [B·N, 1, T or 1, S] or None.
        bias: float32 [B·N, H, T, S] or None.
        dropout: layer applied to the attention weights.
    """
    prompts, length = cached.key.shape[0], query.shape[1]
    if mask is not None and mask.shape[2] < length:
        mask = ops.repeat(mask, length, axis=2)  # [B·N, 1, T, S]
    mask, bias = (None if x is None else by_prompt(x, prompts) for x in (mask, bias))
    together = ops.reshape(query, (prompts, -1, *query.shape[2:]))  # [B, N·T, H, K]
    y = attend_by_head(together, cached.key, cached.value, mask, bias, dropout)
    return ops.reshape(y, query.shape)


def dot_products(query: Tensor, key: Tensor) -> Tensor:
    """Returns `q·kᵀ`, [B, H, T, S], of queries [B, T, H, K] and keys [B, H, S, K].

    For one query this is a matrix-vector product that reads the keys without a transposition. In
    the other order, XLA on a CPU would transpose all keys at every decoding step.
    """
    if query.shape[1] == 1:
        return ops.einsum("bhsk,bhk->bhs", key, query[:, 0])[:, :, None]
    return ops.einsum("bthk,bhsk->bhts", query, key)


def single_head_products(query: Tensor, key: Tensor) -> Tensor:
    """Returns `q·kᵀ`, float32 [B, T, S], of queries [B, T, K] and keys [B, S, K]."""
    return ops.cast(ops.einsum("btk,bsk->bts", query, key), "float32")


def by_head(x: Tensor) -> Tensor:
    """[B, S, H, K] → [B, H, S, K]."""
    return ops.transpose(x, (0, 2, 1, 3))


class HeadOptions(NamedTuple):
    """Options of attention's projections.

    Attributes:
        num_heads: number of heads H.
        head_dim: width K of a head; None means D / H.
        use_bias: whether the projections add a bias (GPT-2 and BERT do, T5 does not).
        scale: factor on the query; None means K^-0.5; T5 and Primer use 1.
        kernel_initializer: name or factory for the initial values of the matrices.
        query_initializer, output_initializer: the same for one of them, if it differs.
    """

    num_heads: int
    head_dim: int | None = None
    use_bias: bool = True
    scale: float | None = None
    kernel_initializer: Initializer = "glorot_uniform"
    query_initializer: Initializer | None = None
    output_initializer: Initializer | None = None

    @property
    def inner_dim(self) -> int:
        """H·K; valid once the options are `sized`."""
        return self.num_heads * (self.head_dim or 0)

    def sized(self, width: int) -> "HeadOptions":
        """Returns the options with defaults of `head_dim` and `scale` filled in for a width D.

        Raises:
            LayerError: D is not divisible by the number of heads and `head_dim` is not given.
        """
        head_dim = self.head_dim or head_width(width, self.num_heads)
        return self._replace(
            head_dim=head_dim, scale=head_dim**-0.5 if self.scale is None else self.scale
        )

    def initializers(self, *names: str) -> dict[str, Any]:
        """Returns the initializer of each named matrix, in order."""
        special = {"query": self.query_initializer, "output": self.output_initializer}
        return {name: initializer(special.get(name) or self.kernel_initializer) for name in names}


class Heads(keras.layers.Layer):
    """`q = x W_q · scale`, `k = s W_k`, `v = s W_v`, each D → H·K, and `y W_o` back.

    Self-attention takes the three projections apart (`project`), may apply a branch to each, and
    then asks which of them are query, key and value (`roles`).

    Args:
        options: sizes and initializers.

    Raises:
        LayerError: the width is not divisible by the number of heads and `head_dim` is not given.
    """

    logical_axes: ClassVar = {
        "(query|key|value)/kernel": ("embed", "joined_kv"),
        "(query|key|value)/bias": ("joined_kv",),
        "output/kernel": ("joined_kv", "embed"),
    }

    projections = ("query", "key", "value")

    def __init__(self, options: HeadOptions, *, name: str = "heads") -> None:
        super().__init__(name=name, autocast=False)
        self.options = options
        self.initializers = options.initializers("query", "key", "value", "output")

    def build(self, x_shape: Shape, source_shape: Shape) -> None:
        width = x_shape[-1]
        self.options = self.options.sized(width)
        inner = self.options.inner_dim
        self.query_dense = self.dense("query", x_shape, inner)
        self.key_dense = self.dense("key", source_shape, inner)
        self.value_dense = self.dense("value", source_shape, inner)
        self.output_dense = self.dense("output", (*x_shape[:-1], inner), width)

    def dense(self, name: str, input_shape: Shape, units: int) -> Any:
        kernel_initializer, use_bias = self.initializers[name], self.options.use_bias
        return built_dense(name, input_shape, units, kernel_initializer, use_bias=use_bias)

    def query(self, x: Tensor) -> Tensor:
        """[B, T, D] → [B, T, H, K], scaled."""
        return self.split(self.query_dense(x)) * self.options.scale

    def key_value(self, source: Tensor) -> KeyValue:
        """[B, S, D] → keys and values [B, S, H, K]."""
        return KeyValue(self.split(self.key_dense(source)), self.split(self.value_dense(source)))

    def project(self, x: Tensor, source: Tensor) -> tuple[Tensor, ...]:
        """[B, T, D] and [B, S, D] → [B, T or S, H, K] for each of `projections`, unscaled."""
        return self.split(self.query_dense(x)), *self.key_value(source)

    def roles(self, projected: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Returns query (scaled), key and value, [B, T or S, H, K] each."""
        query, key, value = projected
        return query * self.options.scale, key, value

    def merge(self, x: Tensor) -> Tensor:
        """[B, T, H, K] → [B, T, D]."""
        return self.output_dense(join_heads(x))

    def split(self, x: Tensor) -> Tensor:
        return split_heads(x, self.options.num_heads)


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """[B, T, H·K] → [B, T, H, K]."""
    return ops.reshape(x, (-1, x.shape[1], num_heads, x.shape[-1] // num_heads))


def join_heads(x: Tensor) -> Tensor:
    """[B, T, H, K] → [B, T, H·K]."""
    return ops.reshape(x, (-1, x.shape[1], x.shape[2] * x.shape[3]))


def head_width(width: int, num_heads: int) -> int:
    """Returns D / H; raises if it is not an integer."""
    if width % num_heads:
        raise LayerError(
            f"a width of {width} does not divide into num_heads = {num_heads}: "
            "change HIDDEN_DIM or NUM_HEADS, or bind head_dim"
        )
    return width // num_heads
