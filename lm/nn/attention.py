"""Multi-head attention over the sequence itself or over a memory."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, Factory, State, make
from lm.nn.cache import Cache, Shared, write
from lm.nn.dropout import Dropout
from lm.nn.initializers import Initializer
from lm.nn.projections import HeadOptions, Heads, KeyValue, attend_by_head, attend_shared, by_head
from lm.parts import part
from lm.ranges import PositiveInt, UnitFloat
from lm.types import Shape, Tensor


class SelfAttentionState(NamedTuple):
    """`KeyValue` of [B, H, L, K] so far, and the states of the branches after the projections.

    In a carry the cache is `()`: attention looks only at its own row.
    """

    cache: Cache | tuple[()]
    projections: tuple[State, ...] = ()


@part
class SelfAttention(Branch):
    """`softmax(q·kᵀ·scale + bias) v · W_o` with q, k, v projected from x, H heads side by side.

    If the context has a source, k and v are projected from it: the unpooled sequence of Funnel, or
    the first of two streams.

    Args:
        num_heads: number of heads H.
        head_dim: width K of a head; None means D / H.
        use_bias: whether the projections add a bias.
        scale: factor on the query; None means K^-0.5; T5 uses 1 and a smaller initial query.
        dropout: rate on the attention weights.
        rotary: factory of a layer that rotates queries and keys by their positions, or None.
        heads: factory of the projections, given `HeadOptions`; None means `Heads`. Primer's
            `SharedHeads` makes query and key from one projection.
        after_projection: factory of a branch applied to each projection [B, T, H, K], or None.
            Primer: `CausalConvolution`.
        kernel_initializer: name or factory for the initial values of the four matrices.
        query_initializer, output_initializer: the same for one of them, if it differs.

    State: `SelfAttentionState`: keys and values of the positions so far. Carry: that of the
    branches after the projections.

    Raises:
        LayerError: the stack's position bias has a different number of heads.

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
        kernel_initializer: Initializer = "glorot_uniform",
        query_initializer: Initializer | None = None,
        output_initializer: Initializer | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        drawn = (kernel_initializer, query_initializer, output_initializer)
        self.heads = (heads or Heads)(HeadOptions(num_heads, head_dim, use_bias, scale, *drawn))
        self.dropout = Dropout(rate=dropout, name="dropout")
        self.rotary = make(rotary) if rotary else None
        self.after = []
        if after_projection:
            self.after = [make(after_projection, f"after_{x}") for x in self.heads.projections]

    def build(self, x_shape: Shape) -> None:
        self.heads.build(x_shape, x_shape)

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        check_bias(context.position_bias, self.heads.options.num_heads)
        (query, key, value), after = self.projected(x, context, state)
        mask, bias = context.mask, context.position_bias
        if context.index is None:
            y = attend_by_head(query, key, value, mask, bias, self.dropout)
            return self.heads.merge(y), SelfAttentionState((), after) if state else ()
        cache = write(state.cache, KeyValue(key, value), context.slot)
        y = attend_shared(query, cache.tree, mask, bias, self.dropout)
        return self.heads.merge(y), SelfAttentionState(cache, after)

    def projected(
        self, x: Tensor, context: Context, state: State
    ) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[State, ...]]:
        """Returns query [B, T, H, K], key and value [B, H, S, K], and the new states."""
        x = ops.cast(x, self.compute_dtype)
        source, its_context = x, context  # for keys and values
        if context.source:
            source = ops.cast(context.source.x, self.compute_dtype)
            its_context = context._replace(
                positions=context.source.positions, segments=context.source.segments
            )
        projected = self.heads.project(x, source)
        projected, after = self.follow(projected, (context, its_context, its_context), state)
        query, key, value = self.heads.roles(projected)
        if self.rotary:
            query = self.rotary(query, context.positions)
            key = self.rotary(key, its_context.positions)
        return (query, by_head(key), by_head(value)), after

    def follow(
        self, projected: tuple[Tensor, ...], contexts: tuple[Context, ...], state: State
    ) -> tuple[Sequence[Tensor], tuple[State, ...]]:
        """Returns each projection after its branch, and the new states of the branches."""
        if not self.after:
            return projected, ()
        before = state.projections if state else [None] * len(self.after)
        # A shared projection serves as query and key, so there may be fewer than contexts.
        each = zip(self.after, projected, contexts, before, strict=False)
        outputs, states = zip(*(f(x, c, state=s) for f, x, c, s in each), strict=True)
        return outputs, states

    def initial_state(self, batch: int, length: int) -> State:
        shape = (batch, self.heads.options.num_heads, length, self.heads.options.head_dim)
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
        query_initializer, output_initializer: the same for one of them, if it differs.

    Raises:
        LayerError: the stack has no memory.

    State: keys and values of the memory, `Shared` `KeyValue` of [B, H, S, K], computed by the call
    that is given the memory and reused by all later ones.

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
        kernel_initializer: Initializer = "glorot_uniform",
        query_initializer: Initializer | None = None,
        output_initializer: Initializer | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        drawn = (kernel_initializer, query_initializer, output_initializer)
        self.heads = Heads(HeadOptions(num_heads, head_dim, use_bias, scale, *drawn))
        self.dropout = Dropout(rate=dropout, name="dropout")

    # Keras passes the shapes of the arguments named in the signature.
    def build(self, x_shape: Shape, context_shape: Context) -> None:  # type: ignore[override]
        if context_shape.memory is None:
            raise LayerError("CrossAttention reads a memory, and this stack is given none")
        self.heads.build(x_shape, context_shape.memory)

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        query = self.heads.query(ops.cast(x, self.compute_dtype))
        if context.memory is None:
            y = attend_shared(query, state.tree, context.memory_mask, None, self.dropout)
            return self.heads.merge(y), state
        new = self.heads.key_value(ops.cast(context.memory, self.compute_dtype))
        memory = KeyValue(by_head(new.key), by_head(new.value))
        y = attend_by_head(query, *memory, context.memory_mask, None, self.dropout)
        return self.heads.merge(y), () if context.index is None else Shared(memory)


def check_bias(bias: Tensor, num_heads: int) -> None:
    """Raises unless a bias [.., heads, T, S] has as many heads as attention; None is accepted."""
    if bias is not None and bias.shape[1] not in (1, num_heads):
        raise LayerError(
            f"SelfAttention.num_heads = {num_heads} and a bias of {bias.shape[1]} heads: "
            "bind them alike, as NUM_HEADS does"
        )
