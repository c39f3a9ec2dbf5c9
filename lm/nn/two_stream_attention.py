"""XLNet's attention: two streams of queries over the keys of the first, with a memory.

    queries   h_0 h_1 h_2 h_3 | g_a g_b     content stream, then the predicted positions a and b
    keys      m_0 m_1 | h_0 h_1 h_2 h_3     memory, then the content stream

Both streams share all weights, so they are one row of T + P queries with a mask; without a query
stream P is 0. Letters beyond those of `lm.nn.branch`: P predicted positions, Q = T + P queries, M
inputs in the memory, S = M + T keys.
"""

from typing import ClassVar, NamedTuple

from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, State, refuse_source
from lm.nn.carry import slot_segments
from lm.nn.dropout import Dropout
from lm.nn.funnel_attention import (
    RELATIVE_AXES,
    RELATIVE_WEIGHTS,
    by_key,
    by_type,
    relative_weights,
    sinusoid,
)
from lm.nn.initializers import Initializer, initializer
from lm.nn.projections import HeadOptions, Heads, attend_by_head, by_head
from lm.nn.reports import report
from lm.nn.transformer_xl import (
    Memory,
    by_index,
    distances,
    even_width,
    initial_memory,
    remember,
)
from lm.parts import part
from lm.ranges import NonNegativeInt, PositiveInt, UnitFloat
from lm.types import Shape, Tensor


class Streams(NamedTuple):
    """Properties of the queries and keys of a row, computed by the stack.

    Attributes:
        segments: int32 [B, Q], of the queries.
        types: int32 [B, Q], token types of the queries, the first T of which are also the keys';
            None if all tokens have one type.
        remembered: int32 [B, T], segments of the row, 0 for tokens that the next row does not read.
        direction: int32 [B], 1, or -1 for rows that hold their text in reverse; None if there are
            no such rows.
    """

    segments: Tensor = None
    types: Tensor = None
    remembered: Tensor = None
    direction: Tensor = None


@part
class TwoStreamAttention(Branch):
    """`softmax(((q + u)·k + (q + v)·R W_r + (q + s)·G[same type]) K^-0.5) v · W_o`.

    k and v are projected from the memory and the first T positions of x. R are the sinusoids of the
    query's position minus the key's, G one vector for tokens of different types and one for the
    same type. Tokens in the memory have type 0.

    Args:
        num_heads: number of heads H.
        head_dim: width K of a head; None means D / H.
        memory_length: M, the inputs that the next row reads (384); 0 remembers nothing.
        dropout: rate on the attention weights.
        sinusoid_dropout: rate on the sinusoids.
        kernel_initializer: name or factory for the initial values of all weights.

    Carry: `transformer_xl.Memory` of the content stream.

    Reports `memory_length`, the mean number of inputs that a row finds in its memory.

    Raises:
        LayerError: the width is odd, or not divisible by the number of heads and `head_dim` is not
            given; or the length of a carry is not that of the memory.

    Source: Yang et al. 2019 (https://arxiv.org/abs/1906.08237), sections 2.3 to 2.5, and its
    release (`untie_r`).
    Departures: the end of a sequence empties the memory, while the release reads across it; each
    layer draws its own dropout of the sinusoids.
    """

    logical_axes: ClassVar = RELATIVE_AXES

    def __init__(
        self,
        *,
        num_heads: PositiveInt,
        head_dim: PositiveInt | None = None,
        memory_length: NonNegativeInt,
        dropout: UnitFloat = 0.0,
        sinusoid_dropout: UnitFloat = 0.0,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        options = HeadOptions(
            num_heads, head_dim, use_bias=False, kernel_initializer=kernel_initializer
        )
        self.heads = Heads(options)
        self.memory_length = memory_length
        self.dropout = Dropout(rate=dropout, name="dropout")
        self.sinusoid_dropout = Dropout(rate=sinusoid_dropout, name="sinusoid_dropout")
        self.initializers = [initializer(kernel_initializer) for _ in range(5)]

    def build(self, x_shape: Shape) -> None:
        self.width = even_width(x_shape)
        self.heads.build(x_shape, x_shape)
        # u, v, s, W_r, G
        drawn = dict(zip(RELATIVE_WEIGHTS, self.initializers, strict=True))
        self.own = relative_weights(self, drawn, x_shape, self.heads.options)

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        refuse_source(self, context)
        x = ops.cast(x, self.compute_dtype)
        streams = context.streams or Streams(context.segments, remembered=context.segments)
        count = context.positions.shape[1]  # T
        row = x[:, :count]  # the content stream
        read = ops.concatenate([self.inputs(state), row], axis=1) if state else row  # [B, S, D]
        own = {name: ops.cast(weight, x.dtype) for name, weight in self.own.items()}
        query = self.heads.split(self.heads.query_dense(x))  # [B, Q, H, K]
        content, distance, of_type = (
            (query + own[f"{name}_bias"]) * self.heads.options.scale
            for name in ("content", "distance", "type")
        )
        key, value = map(by_head, self.heads.key_value(read))
        sinusoids = self.sinusoids(count, read.shape[1])
        products = by_vector(distance, own["distance_kernel"], sinusoids, streams.direction)
        bias = by_distance(products, context.query_positions, count)
        same = same_type(streams.types, count, read.shape[1])
        bias = bias + by_type(of_type, own["type_embeddings"], same)
        mask, after = self.visible(read, context, streams, state)
        y = attend_by_head(content, key, value, mask, ops.cast(bias, "float32"), self.dropout)
        return self.heads.merge(y), after

    def inputs(self, state: Memory) -> Tensor:
        """Returns the memory, [B, M, D]."""
        length = state.inputs.shape[1]
        if length != self.memory_length:
            raise LayerError(
                f"TwoStreamAttention.memory_length = {self.memory_length}, but the carry holds "
                f"{length} inputs: bind the length that it was made with"
            )
        return state.inputs

    def sinusoids(self, count: int, keys: int) -> Tensor:
        """Returns the sinusoids R of all distances of a row, [S + T, D]."""
        found = sinusoid(distances(count, keys), self.width)
        return self.sinusoid_dropout(ops.convert_to_tensor(found, self.compute_dtype))

    def visible(
        self, read: Tensor, context: Context, streams: Streams, state: State
    ) -> tuple[Tensor, State]:
        """Returns the visible keys of each query, bool [B or 1, 1, Q, S], and the new memory."""
        if not state:
            report("memory_length", 0.0, read.shape[0])
            return context.mask, ()
        owners = slot_segments(context, context.segments, self.memory_length)
        found, rows = owners[:, : self.memory_length] > 0, context.segments[:, 0] > 0
        report("memory_length", *(ops.sum(ops.cast(x, "float32")) for x in (found, rows)))
        return remember(
            read, context, self.memory_length, query=streams.segments, remembered=streams.remembered
        )

    def initial_state(self, batch: int, length: int) -> State:
        raise LayerError(
            "TwoStreamAttention reads whole rows and keeps no cache: it cannot go step by step; "
            "transformer_xl.MemoryAttention can"
        )

    def initial_carry(self, batch: int) -> State:
        return initial_memory(batch, self.memory_length, self.width, self.compute_dtype)


def by_vector(query: Tensor, kernel: Tensor, sinusoids: Tensor, direction: Tensor) -> Tensor:
    """Returns `q · R(n) W` for every distance n, [B, H, Q, S + T].

    In a reversed row the distance is -n, so the sines, the first half of R, change their sign.
    """
    halves = zip(ops.split(sinusoids, 2, axis=1), ops.split(kernel, 2, axis=0), strict=True)
    sine, cosine = (ops.einsum("nd,dhk->nhk", half, rows) for half, rows in halves)
    if direction is None:
        return ops.einsum("bqhk,nhk->bhqn", query, sine + cosine)
    sign = ops.cast(direction, query.dtype)[:, None, None, None]
    return ops.einsum("bqhk,bnhk->bhqn", query, sign * sine + cosine)


def by_distance(products: Tensor, positions: Tensor, count: int) -> Tensor:
    """Returns one product per key, [B, H, Q, S], given one per distance, [B, H, Q, S + T].

    Args:
        products: as in `by_vector`.
        positions: int32 [B or 1, Q], the queries' positions in the row.
        count: T, the number of queries at the positions 0, 1, … of the row.
    """
    keys = products.shape[-1] - count
    content = by_key(products[:, :, :count], keys)
    if products.shape[2] == count:
        return content
    first = count - 1 - positions[:, count:, None]  # [B, P, 1], the distance of the first key
    predicted = by_index(products[:, :, count:], first + ops.arange(keys, dtype="int32"))
    return ops.concatenate([content, predicted], axis=2)


def same_type(types: Tensor, count: int, keys: int) -> Tensor:
    """Returns bool [B, 1, Q, S], or None if all tokens have one type; the memory has type 0."""
    if types is None:
        return None
    of_keys = ops.pad(types[:, :count], [[0, 0], [keys - count, 0]])  # [B, S]
    return ops.equal(types[:, None, :, None], of_keys[:, None, None, :])
