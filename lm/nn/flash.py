"""Mixed-chunk attention: exact inside a chunk, linear across chunks, in linear time.

Shapes by letter: B batch, T new positions, D width, F hidden width, K width of queries and keys,
C chunk size, G blocks of a row, W positions of a block (C, or T if fewer), S keys a block reads
pair by pair.

A chunk is C positions of an example, counted from the start of the example; a block is C positions
of a row. Packed examples start anywhere, so their chunks straddle blocks. But no chunk spans more
than two blocks, and longer examples fill whole blocks in between. So a block of queries
    attends pairwise to its own block and the one before (bidirectional: also the one after): within
        a chunk with the quadratic kernel, else within the example with the linear one;
    reads the blocks beyond as sums of `kᵀ v` over the one example that reaches that far.
Together this equals the paper's attention on each example alone.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, Factory, State, make
from lm.nn.carry import count_real, last_segment, latest, slot_segments
from lm.nn.flash_blocks import (
    FUTURE,
    PAST,
    Keys,
    each_block,
    far,
    in_blocks,
    joined,
    neighbours,
    tokens_of_example,
)
from lm.nn.gau import Kernel, admitted
from lm.nn.masks import Mask, same_segment, sees_ahead
from lm.nn.projections import single_head_products
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Shape, Tensor


class MixedChunkState(NamedTuple):
    """The state of a row, of fixed size.

    Attributes:
        total: float32 [B, K, F], the sum of `kᵀ v` of the linear part over all positions but the
            last C.
        key: [B, C, K], quadratic keys of the last C positions, the latest at the end.
        linear_key: [B, C, K].
        value: [B, C, F].
    """

    total: Tensor
    key: Tensor
    linear_key: Tensor
    value: Tensor


@part
def tokens_read(count: Tensor, chunk_size: int) -> Tensor:
    """Makes the linear part a mean over the tokens read, which does not grow with the length."""
    del chunk_size
    return ops.maximum(count, 1)


@part
def one_chunk(count: Tensor, chunk_size: int) -> Tensor:
    """Makes the linear part a sum of the means of chunks, which grows with the length."""
    return ops.full_like(count, chunk_size)


@part
class MixedChunkAttention(Branch):
    """`(u ⊙ (A v + q_l · Σ k_lᵀ v / N)) W_o`: FLASH.

        A = kernel(q, k) inside each chunk, causal or not as `mask` says; its n is C
        causal          Σ over the chunks before the query's own
        bidirectional   Σ over all chunks of the example
        N               how many tokens Σ reads, or C: the `normalizer`

    Any length works: rows are padded to whole blocks internally, and nothing reads the padding.

    Args:
        unit: factory of the `gau.GatedUnit`.
        kernel: `gau.squared_relu_kernel` or `gau.softmax_kernel`, inside a chunk.
        chunk_size: C (the paper: 256; 128 to 1024 hardly differ).
        mask: as of the stack: `masks.causal` or `masks.bidirectional`.
        normalizer: `(number of tokens read, C) -> N`: `tokens_read` or `one_chunk`.
        position_bias: factory of a relative bias inside a chunk, `(query, key) -> [1, 1, T, S]`,
            or None.

    State and carry: `MixedChunkState`, if causal; a step costs the same at every position.

    Raises:
        LayerError: if the bias is too short for the chunk size, if the stack has a bias, or if a
            bidirectional branch is asked for a state.

    Source: Hua et al. 2022 (https://arxiv.org/abs/2202.10447), section 3.2.
    Departures: chunks are counted within each example. The linear part is divided by the number of
    tokens it reads (the paper leaves the causal case open). A bidirectional prefix is treated
    causally.
    """

    def __init__(
        self,
        *,
        unit: Factory,
        kernel: Kernel,
        chunk_size: PositiveInt,
        mask: Mask,
        normalizer: Callable[[Tensor, int], Tensor] = tokens_read,
        position_bias: Factory | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.unit = unit(num_heads=4, name="unit")
        self.kernel = kernel
        self.chunk_size = chunk_size
        self.mask = mask
        self.sides = (PAST, FUTURE) if sees_ahead(mask) else (PAST,)
        self.normalizer = normalizer
        self.position_bias = make(position_bias) if position_bias else None
        if self.position_bias:
            self.position_bias.check_length(chunk_size)

    def build(self, x_shape: Shape) -> None:
        self.unit.build(x_shape)

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        x = admitted(self, x, context)
        gate, value, (query, key, linear_query, linear_key) = self.unit.split(x, context.positions)
        segments, positions = segments_and_positions(context, state, value)
        chunk = positions // self.chunk_size
        divisor = self.normalizer(self.count(segments, positions, chunk), self.chunk_size)  # N
        linear_query = linear_query / ops.cast(divisor, x.dtype)[..., None]

        queries = Keys(query, linear_query, value, segments, chunk)
        keys = Keys(key, linear_key, value, segments, chunk)
        y = self.read_row(queries, keys, context, state)
        if not state:
            return self.unit.merge(gate, y), ()
        # Positions before the last C of the state are in the state as one sum.
        continues = ops.equal(segments, context.carried[:, None])[..., None]  # [B, T, 1]
        reading = ops.where(continues, linear_query, 0)
        y = y + ops.einsum("btk,bkf->btf", reading, ops.cast(state.total, x.dtype))
        return self.unit.merge(gate, y), after(state, keys, context)

    def read_row(self, queries: Keys, keys: Keys, context: Context, state: State) -> Tensor:
        """Returns the attention to the row itself and the C positions before it, [B, T, F]."""
        length = keys.key.shape[1]
        width = min(self.chunk_size, length)
        queries, row = in_blocks(queries, width), in_blocks(keys, width)  # [B, G, W, …]
        past = self.last_positions(state, context) if state else None
        around = self.around(row, past, context)
        y = self.near(queries, around)
        for side in self.sides:
            y = y + far(queries, around[0 if side == PAST else -1], side)
        return ops.reshape(y, (-1, y.shape[1] * width, y.shape[-1]))[:, :length]

    def count(self, segments: Tensor, positions: Tensor, chunk: Tensor) -> Tensor:
        """Returns how many tokens the linear part of each position reads, int32 [B, T]."""
        if FUTURE in self.sides:
            return tokens_of_example(segments, positions)
        return chunk * self.chunk_size

    def around(self, row: Keys, past: Keys | None, context: Context) -> list[Keys]:
        """Returns the blocks that each block attends to pairwise, from left to right.

        Without segments blocks are chunks, and each attends only to itself.
        """
        is_alone = past is None and (context.segments is None or row.key.shape[1] == 1)
        blocks = [row]
        if PAST in self.sides and not is_alone:
            blocks.insert(0, neighbours(row, PAST, past))
        if FUTURE in self.sides and not is_alone:
            blocks.append(neighbours(row, FUTURE, None))
        return blocks

    def near(self, queries: Keys, around: list[Keys]) -> Tensor:
        """Returns the attention of each block to the blocks around it, [B, G, W, F]."""
        blocks, width = queries.key.shape[1:3]
        left = around[0].key.shape[2] if len(around) > 1 else 0  # keys before the block's own
        asking, read = each_block(queries), each_block(joined(around))  # [B·G, W or S, …]
        query = ops.arange(width, dtype="int32")[None] + left
        key = ops.arange(read.key.shape[1], dtype="int32")[None]
        mine = same_segment(asking.segments, read.segments) & self.mask(query, key)  # [B·G, W, S]
        same_chunk = mine & same_segment(asking.chunk, read.chunk)
        other_chunk = mine & self.mask(asking.chunk - 1, read.chunk)  # causal: one before
        bias = self.position_bias(query, key)[:, 0] if self.position_bias else 0.0
        weights = self.kernel(asking.key, read.key, bias, same_chunk, self.chunk_size)
        linear = single_head_products(asking.linear_key, read.linear_key)
        weights = ops.cast(weights + ops.where(other_chunk, linear, 0.0), read.value.dtype)
        y = ops.einsum("bts,bsf->btf", weights, read.value)
        return ops.reshape(y, (-1, blocks, width, y.shape[-1]))

    def last_positions(self, state: MixedChunkState, context: Context) -> Keys:
        """Returns the last C positions as the block before the new ones, [B, 1, C, …]."""
        size, first = self.chunk_size, context.positions[:, :1]
        before = first + ops.arange(-size, 0, dtype="int32")[None]  # [B, C]
        segments = slot_segments(context, first[:, :0], size)
        keys = Keys(state.key, state.linear_key, state.value, segments, before // size)
        return keras.tree.map_structure(lambda x: x[:, None], keys)

    def initial_state(self, batch: int, length: int) -> State:
        del length
        if FUTURE in self.sides:
            raise LayerError(
                "a bidirectional MixedChunkAttention cannot decode step by step: bind "
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


def segments_and_positions(context: Context, state: State, value: Tensor) -> tuple[Tensor, Tensor]:
    """Returns segments and positions, int32 [B, T] each; without segments a row is one example."""
    if context.segments is not None:
        return context.segments, context.positions
    ones = ops.ones_like(value[:, :, 0], dtype="int32")
    if state:
        return ones, context.positions
    return ones, ones * ops.arange(value.shape[1], dtype="int32")


def after(state: MixedChunkState, new: Keys, context: Context) -> MixedChunkState:
    """Returns the state of the last example after its new real positions."""
    count, size = new.key.shape[1], state.key.shape[1]  # T, C
    old = (state.key, state.linear_key, state.value)
    slots = [
        ops.concatenate([before, ops.cast(x, before.dtype)], axis=1)
        for before, x in zip(old, new[:3], strict=True)
    ]  # [B, C + T, …]
    owners = slot_segments(context, new.segments, size)
    last = last_segment(new.segments)  # [B, 1]
    # n new real tokens push n slots out of the last C: these are added to the sum.
    is_pushed = ops.arange(count, dtype="int32")[None] < count_real(new.segments)
    leaving = ops.logical_and(is_pushed, ops.equal(owners[:, :count], last))
    key = ops.where(leaving[..., None], ops.cast(slots[1][:, :count], "float32"), 0.0)
    value = ops.cast(slots[2][:, :count], "float32")
    continues = ops.equal(context.carried[:, None], last)[..., None]
    total = ops.where(continues, state.total, 0.0) + ops.einsum("btk,btf->bkf", key, value)
    return MixedChunkState(total, *(latest(x, owners, size, context.segments) for x in slots))
