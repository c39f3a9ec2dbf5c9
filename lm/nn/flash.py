"""Mixed-chunk attention: exact inside a chunk, linear across chunks, in linear time.

Shapes by letter: B batch, T new positions, D width, F hidden width, K width of queries and keys,
C chunk size, G blocks of a row, W places of a block (C, or T if fewer), S keys a block looks at.

A chunk is C positions of one example, counted from where the example starts; a block is C places
of a row. Packed examples start anywhere, so their chunks straddle blocks. But no chunk spans more
than two, and an example that is longer fills whole blocks in between. So a block of queries
    looks at its own block and the one before (bidirectional: and the one after), pair by pair: in
        the same chunk by the quadratic kernel, else in the same example by the linear one;
    reads the blocks beyond as sums of `kᵀ v` over the one example that reaches so far.
Both together are the paper's chunks of each example alone, whatever shares its row.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, Factory, State, make, refuse_source
from lm.nn.carry import count_real, last_segment, latest, slot_segments
from lm.nn.gau import Kernel, products, refuse_bias_of_stack
from lm.nn.masks import causal, same_segment
from lm.parts import part
from lm.ranges import PositiveInt

PAST, FUTURE = -1, 1


class Keys(NamedTuple):
    """What queries look at, along a row [B, T, …] or in blocks [B, G, W, …].

    Attributes:
        key: [.., K] of the quadratic part.
        linear_key: [.., K] of the linear part.
        value: [.., F].
        segments: int32 [..].
        chunk: int32 [..], position // C.
    """

    key: Any
    linear_key: Any
    value: Any
    segments: Any
    chunk: Any


class MixedChunkState(NamedTuple):
    """What a row keeps, whatever its length.

    Attributes:
        total: float32 [B, K, F], the sum of `kᵀ v` of the linear part over all positions but the
            last C.
        key: [B, C, K], quadratic keys of the last C positions, the latest at the end.
        linear_key: [B, C, K].
        value: [B, C, F].
    """

    total: Any
    key: Any
    linear_key: Any
    value: Any


@part
def tokens_read(count: Any, chunk_size: int) -> Any:
    """The linear part is the mean over the tokens it reads: as large at any length."""
    del chunk_size
    return ops.maximum(count, 1)


@part
def one_chunk(count: Any, chunk_size: int) -> Any:
    """The linear part is the sum of the means of chunks: it grows with the length."""
    return ops.full_like(count, chunk_size)


@part
class MixedChunkAttention(Branch):
    """`(u ⊙ (A v + q_l · Σ k_lᵀ v / N)) W_o`: FLASH.

        A = kernel(q, k) inside each chunk, causal or not as `mask` says; its n is C
        causal          Σ over the chunks before the query's own
        bidirectional   Σ over all chunks of the example
        N               how many tokens Σ reads, or C: the `normalizer`

    Any length fits: rows are filled up to whole blocks inside, and nothing reads the filling.

    Args:
        unit: factory of the `gau.GatedUnit`.
        kernel: `gau.squared_relu_kernel` or `gau.softmax_kernel`, inside a chunk.
        chunk_size: C (the paper: 256; 128 to 1024 hardly differ).
        mask: as of the stack: `masks.causal` or `masks.bidirectional`.
        normalizer: `(tokens read, C) -> N`: `tokens_read` or `one_chunk`.
        position_bias: factory of a relative bias inside a chunk, `(query, key) -> [1, 1, T, S]`,
            or None.

    State and carry: `MixedChunkState`, if causal; a step costs the same at every position.

    Raises:
        LayerError: if the bias is too short for the chunk size, if the stack has a bias, or if a
            bidirectional branch is asked for a state.

    Source: Hua et al. 2022 (https://arxiv.org/abs/2202.10447), section 3.2.
    Departures: chunks are counted inside each example. The linear part is divided by the
    number of tokens it reads (the paper leaves the causal case open). A bidirectional prefix is
    read causally.
    """

    def __init__(
        self,
        *,
        unit: Factory,
        kernel: Kernel,
        chunk_size: PositiveInt,
        mask: Callable[[Any, Any], Any],
        normalizer: Callable[[Any, int], Any] = tokens_read,
        position_bias: Factory | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.unit = unit(num_heads=4, name="unit")
        self.kernel = kernel
        self.chunk_size = chunk_size
        self.mask = mask
        self.sides = sides(mask)
        self.normalizer = normalizer
        self.position_bias = make(position_bias) if position_bias else None
        if self.position_bias:
            self.position_bias.check_length(chunk_size)

    def build(self, x_shape: Any) -> None:
        self.unit.build(x_shape)

    def call(self, x: Any, context: Context, state: State = None) -> tuple[Any, State]:
        refuse_source(self, context)
        refuse_bias_of_stack(self, context)
        x = ops.cast(x, self.compute_dtype)
        gate, value, (query, key, linear_query, linear_key) = self.unit.split(x, context.positions)
        segments, positions = self.example(context, state, value)
        chunk = positions // self.chunk_size
        count = self.count(segments, positions, chunk)
        divisor = ops.cast(self.normalizer(count, self.chunk_size), x.dtype)
        linear_query = linear_query / divisor[..., None]

        width = min(self.chunk_size, x.shape[1])
        new = Keys(key, linear_key, value, segments, chunk)
        row: Keys = in_blocks(new, width)
        queries = in_blocks(Keys(query, linear_query, value, segments, chunk), width)
        past = self.recalled(state, context) if state else None
        around = self.around(row, past, context)

        y = self.near(queries, around)
        for side in self.sides:
            y = y + far(queries, around[0 if side == PAST else -1], side)
        y = ops.reshape(y, (-1, y.shape[1] * width, y.shape[-1]))[:, : x.shape[1]]
        if not state:
            return self.unit.merge(gate, y), ()
        goes_on = ops.equal(segments, context.carried[:, None])[..., None]
        reading = ops.where(goes_on, linear_query, 0)
        y = y + ops.einsum("btk,bkf->btf", reading, ops.cast(state.total, x.dtype))
        return self.unit.merge(gate, y), after(state, new, context)

    def example(self, context: Context, state: State, like: Any) -> tuple[Any, Any]:
        """Returns segments and positions, int32 [B, T] each; without segments of one example."""
        if context.segments is not None:
            return context.segments, context.positions
        ones = ops.ones_like(like[:, :, 0], dtype="int32")
        if state:
            return ones, context.positions
        return ones, ones * ops.arange(like.shape[1], dtype="int32")

    def count(self, segments: Any, positions: Any, chunk: Any) -> Any:
        """Returns how many tokens the linear part of each position reads, int32 [B, T]."""
        if FUTURE in self.sides:
            return tokens_of_example(segments, positions)
        return chunk * self.chunk_size

    def around(self, row: Keys, past: Keys | None, context: Context) -> list[Keys]:
        """Returns the blocks that each block looks at pair by pair, from left to right.

        Without segments the blocks of a row are the chunks: each looks at itself alone.
        """
        whole = past is None and (context.segments is None or row.key.shape[1] == 1)
        found = [row]
        if PAST in self.sides and not whole:
            found.insert(0, shifted(row, PAST, past))
        if FUTURE in self.sides and not whole:
            found.append(shifted(row, FUTURE, None))
        return found

    def near(self, queries: Keys, around: list[Keys]) -> Any:
        """Returns what each block reads of the blocks around it, [B, G, W, F]."""
        blocks, width = queries.key.shape[1:3]
        left = around[0].key.shape[2] if len(around) > 1 else 0
        found = merged(*around)
        asked = keras.tree.map_structure(lambda x: ops.reshape(x, (-1, *x.shape[2:])), queries)
        seen = keras.tree.map_structure(lambda x: ops.reshape(x, (-1, *x.shape[2:])), found)
        place = ops.arange(width, dtype="int32")[None] + left
        other = ops.arange(seen.key.shape[1], dtype="int32")[None]
        mine = same_segment(asked.segments, seen.segments) & self.mask(place, other)  # [B·G, W, S]
        together = mine & same_segment(asked.chunk, seen.chunk)
        apart = mine & self.mask(asked.chunk - 1, seen.chunk)
        bias = self.position_bias(place, other)[:, 0] if self.position_bias else 0.0
        weights = self.kernel(asked.key, seen.key, bias, together, self.chunk_size)
        linear = products(asked.linear_key, seen.linear_key)
        weights = ops.cast(weights + ops.where(apart, linear, 0.0), seen.value.dtype)
        y = ops.einsum("bts,bsf->btf", weights, seen.value)
        return ops.reshape(y, (-1, blocks, width, y.shape[-1]))

    def recalled(self, state: MixedChunkState, context: Context) -> Keys:
        """Returns the last C positions as the block before the new ones."""
        size, first = self.chunk_size, context.positions[:, :1]
        before = first + ops.arange(-size, 0, dtype="int32")[None]  # [B, C]
        segments = slot_segments(context, first[:, :0], size)
        held = Keys(state.key, state.linear_key, state.value, segments, before // size)
        return keras.tree.map_structure(lambda x: x[:, None], held)

    def initial_state(self, batch: int, length: int) -> State:
        del length
        if FUTURE in self.sides:
            raise LayerError(
                "a bidirectional MixedChunkAttention cannot go step by step: bind "
                "MixedChunkAttention.mask = @masks.causal"
            )
        return self.initial_carry(batch)

    def initial_carry(self, batch: int) -> State:
        if FUTURE in self.sides:
            return ()
        keys = (batch, self.chunk_size, self.unit.head_dim)
        values = (batch, self.chunk_size, self.unit.intermediate_dim)
        return MixedChunkState(
            total=ops.zeros((batch, self.unit.head_dim, self.unit.intermediate_dim), "float32"),
            key=ops.zeros(keys, self.compute_dtype),
            linear_key=ops.zeros(keys, self.compute_dtype),
            value=ops.zeros(values, self.compute_dtype),
        )


def sides(mask: Callable[[Any, Any], Any]) -> tuple[int, ...]:
    """Returns where a mask lets a query look besides its own block."""
    here, ahead = ops.zeros((1, 1), "int32"), ops.ones((1, 1), "int32")
    return (PAST, FUTURE) if ops.convert_to_numpy(mask(here, ahead)).any() else (PAST,)


def far(queries: Keys, outer: Keys, side: int) -> Any:
    """Returns what each block reads of the blocks beyond those around it, [B, G, W, F].

    Only the example that covers the whole of an outermost block reaches beyond it, so each block
    of queries needs the sum of one example: of `outer` blocks that have the same one at their edge.

    Args:
        queries: blocks of queries.
        outer: for each the outermost block that it looks at pair by pair, on that side.
        side: PAST or FUTURE.
    """
    blocks, zeros = queries.key.shape[1], ops.zeros_like(queries.value[:, :1])
    if blocks == 1:
        return zeros
    inner, beyond = (slice(1, None), slice(-1)) if side == PAST else (slice(-1), slice(1, None))
    asked = keras.tree.map_structure(lambda x: x[:, inner], queries)
    outer = keras.tree.map_structure(lambda x: x[:, beyond], outer)
    edge = outer.segments[:, :, -1 if side == PAST else 0]  # [B, G - 1]
    mine = ops.equal(outer.segments, edge[..., None])[..., None]
    key = ops.where(mine, outer.linear_key, 0)
    sums = ops.cast(ops.einsum("bgsk,bgsf->bgkf", key, outer.value), "float32")

    block = ops.arange(blocks - 1, dtype="int32")[None]
    reach = causal(block, block)
    reach = reach if side == PAST else ops.swapaxes(reach, 1, 2)
    seen = ops.cast(reach & same_segment(edge, edge), "float32")
    sums = ops.cast(ops.einsum("bgh,bhkf->bgkf", seen, sums), outer.value.dtype)
    reaches = ops.equal(asked.segments, edge[..., None])[..., None]
    y = ops.einsum("bgtk,bgkf->bgtf", ops.where(reaches, asked.linear_key, 0), sums)
    return ops.concatenate([zeros, y] if side == PAST else [y, zeros], axis=1)


def tokens_of_example(segments: Any, positions: Any) -> Any:
    """Returns the length of the example that each token belongs to, int32 [B, T].

    >>> print(np.asarray(tokens_of_example(ops.array([[1, 1, 2]]), ops.array([[0, 1, 0]]))))
    [[2 2 1]]
    """
    place = ops.arange(segments.shape[1], dtype="int32")[None]
    following = ops.concatenate([segments[:, 1:], -ops.ones_like(segments[:, :1])], axis=1)
    is_end = ops.not_equal(segments, following)
    ends = ops.sort(ops.where(is_end, place, segments.shape[1]), axis=1)
    before = ops.cumsum(ops.cast(is_end, "int32"), axis=1) - ops.cast(is_end, "int32")
    last = ops.take_along_axis(ends, before, axis=1)
    return positions + 1 + last - place


def in_blocks(row: Keys, width: int) -> Keys:
    """Cuts rows [B, T, …] into blocks [B, G, W, …]; zeros fill the last one."""

    def cut(x: Any) -> Any:
        filling = -x.shape[1] % width
        x = ops.pad(x, [[0, 0], [0, filling]] + [[0, 0]] * (len(x.shape) - 2))
        return ops.reshape(x, (-1, x.shape[1] // width, width, *x.shape[2:]))

    return keras.tree.map_structure(cut, row)


def shifted(row: Keys, side: int, first: Keys | None) -> Keys:
    """Returns for each block the one beside it, [B, G, W, …]; `first` or zeros at the border."""

    def shift(x: Any, border: Any) -> Any:
        if x.shape[1] == 1:
            return border
        parts = [border, x[:, :-1]] if side == PAST else [x[:, 1:], border]
        return ops.concatenate(parts, axis=1)

    border = first or keras.tree.map_structure(lambda x: ops.zeros_like(x[:, :1]), row)
    return keras.tree.map_structure(shift, row, border)


def merged(*blocks: Keys) -> Keys:
    """Joins blocks side by side, [B, G, S, …]."""
    if len(blocks) == 1:
        return blocks[0]
    return keras.tree.map_structure(lambda *parts: ops.concatenate(parts, axis=2), *blocks)


def after(state: MixedChunkState, new: Keys, context: Context) -> MixedChunkState:
    """Returns the state after the real ones of the new positions: that of the last example."""
    count, room = new.key.shape[1], state.key.shape[1]
    held = (state.key, state.linear_key, state.value)
    joined = [
        ops.concatenate([old, ops.cast(x, old.dtype)], axis=1)
        for old, x in zip(held, new[:3], strict=True)
    ]  # [B, C + T, …]
    owners = slot_segments(context, new.segments, room)
    last = last_segment(new.segments)  # [B, 1]
    # What is no more among the last C goes over into the sum.
    is_behind = ops.arange(count, dtype="int32")[None] < count_real(new.segments)
    leaving = ops.logical_and(is_behind, ops.equal(owners[:, :count], last))
    key = ops.where(leaving[..., None], ops.cast(joined[1][:, :count], "float32"), 0.0)
    value = ops.cast(joined[2][:, :count], "float32")
    goes_on = ops.equal(context.carried[:, None], last)[..., None]
    total = ops.where(goes_on, state.total, 0.0) + ops.einsum("btk,btf->bkf", key, value)
    return MixedChunkState(total, *(latest(x, owners, room, context.segments) for x in joined))
