"""Multi-head attention over the sequence itself or over a memory."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, Factory, State, make
from lm.nn.cache import Cache, Shared, by_prompt, write
from lm.nn.dropout import Dropout
from lm.nn.initializers import initializer
from lm.parts import part
from lm.ranges import PositiveInt, UnitFloat


class KeyValue(NamedTuple):
    """Keys and values, each [B, S, H, K], or by head [B, H, S, K]."""

    key: Any
    value: Any


class SelfAttentionState(NamedTuple):
    """`KeyValue` of [B, H, L, K] so far, and the states of what follows the projections.

    In a carry the cache is `()`: attention reads its own row alone.
    """

    cache: Cache | tuple[()]
    projections: tuple[State, ...] = ()


def attend(query: Any, key: Any, value: Any, mask: Any, bias: Any, dropout: Any) -> Any:
    """Returns `softmax(q·kᵀ + bias) v`, [B, T, H, K]; the softmax runs in float32.

    Args:
        query: [B, T, H, K], already scaled.
        key: [B, S, H, K].
        value: [B, S, H, K].
        mask: bool [B or 1, 1, T, S] or None; what it hides weighs exactly zero.
        bias: float32 [B or 1, H, T, S] or None.
        dropout: layer applied to the attention weights.
    """
    return attend_by_head(query, by_head(key), by_head(value), mask, bias, dropout)


def attend_by_head(query: Any, key: Any, value: Any, mask: Any, bias: Any, dropout: Any) -> Any:
    """Returns what `attend` does, from keys and values [B, H, S, K], as products read them.

    A cache that lies so is not turned at every step.
    """
    logits = ops.cast(products(query, key), "float32")
    if bias is not None:
        logits = logits + bias
    if mask is not None:
        logits = ops.where(mask, logits, -1e9)
    weights = dropout(ops.cast(ops.softmax(logits), value.dtype))
    return ops.einsum("bhts,bhsk->bthk", weights, value)


def attend_together(query: Any, kept: KeyValue, mask: Any, bias: Any, dropout: Any) -> Any:
    """Returns what N texts find in what is kept for their prompt, [B·N, T, H, K].

    Args:
        query: [B·N, T, H, K], already scaled.
        kept: two of [B, H, S, K].
        mask: bool [B·N, 1, T, S] or None.
        bias: float32 [B·N, H, T, S] or None.
        dropout: layer applied to the attention weights.
    """
    prompts = kept.key.shape[0]
    mask, bias = (None if x is None else by_prompt(x, prompts) for x in (mask, bias))
    together = ops.reshape(query, (prompts, -1, *query.shape[2:]))
    y = attend_by_head(together, kept.key, kept.value, mask, bias, dropout)
    return ops.reshape(y, query.shape)


def products(query: Any, key: Any) -> Any:
    """Returns `q·kᵀ`, [B, H, T, S], of queries [B, T, H, K] and keys [B, H, S, K].

    A single query is the vector of a product that reads the keys as they lie; with queries first
    XLA would turn all keys on a processor, at every step of a search.
    """
    if query.shape[1] == 1:
        return ops.einsum("bhsk,bhk->bhs", key, query[:, 0])[:, :, None]
    return ops.einsum("bthk,bhsk->bhts", query, key)


def by_head(x: Any) -> Any:
    """[B, S, H, K] → [B, H, S, K]."""
    return ops.transpose(x, (0, 2, 1, 3))


def width_of_a_head(width: int, num_heads: int) -> int:
    """Returns D / H, or refuses what does not divide."""
    if width % num_heads:
        raise LayerError(
            f"a width of {width} does not divide into num_heads = {num_heads}: "
            "change HIDDEN_DIM or NUM_HEADS, or bind head_dim"
        )
    return width // num_heads


def check_bias(bias: Any, num_heads: int) -> None:
    """Raises unless a bias, [.., heads, T, S] or None, has a head for each of attention's."""
    if bias is not None and bias.shape[1] not in (1, num_heads):
        raise LayerError(
            f"SelfAttention.num_heads = {num_heads} and a bias of {bias.shape[1]} heads: "
            "bind them alike, as NUM_HEADS does"
        )


class Heads(keras.layers.Layer):
    """The four matrices of multi-head attention: D → H·K for query, key and value, and back.

    Self-attention takes the three projections apart (`project`), lets what it was given follow
    each of them, and asks which is query, key and value (`roles`).

    Args:
        num_heads: number of heads H.
        head_dim: width K of a head; None means D / H.
        use_bias: whether the projections add a bias (GPT-2 and BERT do, T5 does not).
        scale: factor on the query; None means K^-0.5, T5 uses 1.
        kernel_initializer: name or factory for the initial values of the four matrices.
        query_initializer, output_initializer: the same for one of them, where it differs.

    Raises:
        LayerError: if the width does not divide by the heads and `head_dim` is not given.
    """

    logical_axes: ClassVar = {
        "(query|key|value)/kernel": ("embed", "joined_kv"),
        "(query|key|value)/bias": ("joined_kv",),
        "output/kernel": ("joined_kv", "embed"),
    }

    projections = ("query", "key", "value")

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
        self.key_initializer = initializer(kernel_initializer)
        self.value_initializer = initializer(kernel_initializer)
        self.output_initializer = initializer(output_initializer or kernel_initializer)

    def build(self, x_shape: Any, memory_shape: Any) -> None:
        width = x_shape[-1]
        self.head_dim = self.head_dim or width_of_a_head(width, self.num_heads)
        self.scale = self.head_dim**-0.5 if self.scale is None else self.scale
        inner = self.num_heads * self.head_dim
        self.query_dense = self.dense("query", x_shape, inner, self.query_initializer)
        self.key_dense = self.dense("key", memory_shape, inner, self.key_initializer)
        self.value_dense = self.dense("value", memory_shape, inner, self.value_initializer)
        merged_shape = (*x_shape[:-1], inner)
        self.output_dense = self.dense("output", merged_shape, width, self.output_initializer)

    def dense(self, name: str, input_shape: Any, units: int, kernel_initializer: Any) -> Any:
        layer = keras.layers.Dense(
            units,
            use_bias=self.use_bias,
            kernel_initializer=kernel_initializer,
            name=name,
        )
        layer.build(input_shape)
        return layer

    def query(self, x: Any) -> Any:
        """[B, T, D] → [B, T, H, K], scaled."""
        return self.split(self.query_dense(x)) * self.scale

    def key_value(self, x: Any) -> "KeyValue":
        """[B, S, D] → two of [B, S, H, K]."""
        return KeyValue(self.split(self.key_dense(x)), self.split(self.value_dense(x)))

    def project(self, x: Any, source: Any) -> tuple[Any, ...]:
        """[B, T, D] and [B, S, D] → [B, T or S, H, K] for each of `projections`, not yet scaled."""
        return self.split(self.query_dense(x)), *self.key_value(source)

    def roles(self, projected: Sequence[Any]) -> tuple[Any, Any, Any]:
        """Returns query (scaled), key and value, [B, T or S, H, K] each."""
        query, key, value = projected
        return query * self.scale, key, value

    def merge(self, x: Any) -> Any:
        """[B, T, H, K] → [B, T, D]."""
        return self.output_dense(ops.reshape(x, (-1, x.shape[1], self.num_heads * self.head_dim)))

    def split(self, x: Any) -> Any:
        return ops.reshape(x, (-1, x.shape[1], self.num_heads, self.head_dim))


@part
class SelfAttention(Branch):
    """`softmax(q·kᵀ·scale + bias) v · W_o` with q, k, v projected from x, H heads side by side.

    Where the context has a source, k and v are projected from that: a row that x shortens, or one
    stream of two.

    Args:
        num_heads: number of heads H.
        head_dim: width K of a head; None means D / H.
        use_bias: whether the projections add a bias.
        scale: factor on the query; None means K^-0.5; T5 uses 1 and a smaller initial query.
        dropout: rate on the attention weights.
        rotary: factory of a layer that turns queries and keys by their positions, or None.
        heads: factory of the projections, given the numbers here; None means `Heads`. Primer's
            `SharedHeads` makes query and key from one projection.
        after_projection: factory of a branch that follows each projection, over [B, T, H, K], or
            None. Primer: `CausalConvolution`.
        kernel_initializer: name or factory for the initial values of the four matrices.
        query_initializer, output_initializer: the same for one of them, where it differs.

    State: `SelfAttentionState`: keys and values of the positions so far. Carry: that of what
    follows the projections.

    Raises:
        LayerError: if the stack's bias has another number of heads.

    Source: Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762), section 3.2.
    """

    logical_axes: ClassVar = {"after_(query|key|value)/taps": ("unmodeled", "heads", "kv")}

    def __init__(  # noqa: PLR0913 - each one is a number or a choice of the papers
        self,
        *,
        num_heads: PositiveInt,
        head_dim: PositiveInt | None = None,
        use_bias: bool = True,
        scale: float | None = None,
        dropout: UnitFloat = 0.0,
        rotary: Factory | None = None,
        heads: Factory | None = None,
        after_projection: Factory | None = None,
        kernel_initializer: Any = "glorot_uniform",
        query_initializer: Any = None,
        output_initializer: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.heads = (heads or Heads)(
            num_heads=num_heads,
            head_dim=head_dim,
            use_bias=use_bias,
            scale=scale,
            kernel_initializer=kernel_initializer,
            query_initializer=query_initializer,
            output_initializer=output_initializer,
        )
        self.dropout = Dropout(rate=dropout, name="dropout")
        self.rotary = make(rotary) if rotary else None
        self.after = []
        if after_projection:
            self.after = [make(after_projection, f"after_{x}") for x in self.heads.projections]

    def build(self, x_shape: Any) -> None:
        self.heads.build(x_shape, x_shape)

    def call(self, x: Any, context: Context, state: State = None) -> tuple[Any, State]:
        check_bias(context.position_bias, self.heads.num_heads)
        x = ops.cast(x, self.compute_dtype)
        there = context  # of keys and values
        if context.source:
            there = context._replace(
                positions=context.source.positions, segments=context.source.segments
            )
        source = ops.cast(context.source.x, self.compute_dtype) if context.source else x
        projected, after = self.follow(
            self.heads.project(x, source), (context, there, there), state
        )
        query, key, value = self.heads.roles(projected)
        if self.rotary:
            query = self.rotary(query, context.positions)
            key = self.rotary(key, there.positions)
        key, value = by_head(key), by_head(value)
        if context.index is None:
            y = attend_by_head(query, key, value, context.mask, context.position_bias, self.dropout)
            return self.heads.merge(y), SelfAttentionState((), after) if state else ()
        cache = write(state.cache, KeyValue(key, value), context.slot)
        y = attend_together(query, cache.tree, context.mask, context.position_bias, self.dropout)
        return self.heads.merge(y), SelfAttentionState(cache, after)

    def follow(
        self, projected: tuple[Any, ...], contexts: tuple[Context, ...], state: State
    ) -> tuple[Sequence[Any], tuple[State, ...]]:
        """Returns each projection after its branch, and the states of those branches."""
        if not self.after:
            return projected, ()
        before = state.projections if state else [None] * len(self.after)
        each = zip(self.after, projected, contexts, before, strict=False)
        outputs, states = zip(*(f(x, c, state=s) for f, x, c, s in each), strict=True)
        return outputs, states

    def initial_state(self, batch: int, length: int) -> State:
        shape = (batch, self.heads.num_heads, length, self.heads.head_dim)
        key, value = (ops.zeros(shape, self.compute_dtype) for _ in range(2))
        after = tuple(branch.initial_state(batch, length) for branch in self.after)
        return SelfAttentionState(Cache(KeyValue(key, value)), after)

    def initial_carry(self, batch: int) -> State:
        return SelfAttentionState((), tuple(b.initial_carry(batch) for b in self.after))


@part
class CrossAttention(Branch):
    """`softmax(q·kᵀ·scale) v · W_o` with q projected from x, k and v from the memory.

    Args:
        num_heads: number of heads H.
        head_dim: width K of a head; None means D / H.
        use_bias: whether the projections add a bias.
        scale: factor on the query; None means K^-0.5; T5 uses 1 and a smaller initial query.
        dropout: rate on the attention weights.
        kernel_initializer: name or factory for the initial values of the four matrices.
        query_initializer, output_initializer: the same for one of them, where it differs.

    Raises:
        LayerError: if the stack has no memory.

    State: keys and values of the memory, `Shared` `KeyValue` of [B, H, S, K]: made by the call
    that is given the memory, read by all later ones.

    Source: Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762), section 3.2.3.
    """

    def __init__(  # noqa: PLR0913 - each one is a number or a choice of the papers
        self,
        *,
        num_heads: PositiveInt,
        head_dim: PositiveInt | None = None,
        use_bias: bool = True,
        scale: float | None = None,
        dropout: UnitFloat = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        query_initializer: Any = None,
        output_initializer: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.heads = Heads(
            num_heads=num_heads,
            head_dim=head_dim,
            use_bias=use_bias,
            scale=scale,
            kernel_initializer=kernel_initializer,
            query_initializer=query_initializer,
            output_initializer=output_initializer,
        )
        self.dropout = Dropout(rate=dropout, name="dropout")

    # Keras hands over the shapes that a signature names.
    def build(self, x_shape: Any, context_shape: Any) -> None:  # type: ignore[override]
        if context_shape.memory is None:
            raise LayerError("CrossAttention reads a memory, and this stack is given none")
        self.heads.build(x_shape, context_shape.memory)

    def call(self, x: Any, context: Context, state: State = None) -> tuple[Any, State]:
        query = self.heads.query(ops.cast(x, self.compute_dtype))
        if context.memory is None:
            y = attend_together(query, state.tree, context.memory_mask, None, self.dropout)
            return self.heads.merge(y), state
        new = self.heads.key_value(ops.cast(context.memory, self.compute_dtype))
        memory = KeyValue(by_head(new.key), by_head(new.value))
        y = attend_by_head(query, *memory, context.memory_mask, None, self.dropout)
        return self.heads.merge(y), () if context.index is None else Shared(memory)
