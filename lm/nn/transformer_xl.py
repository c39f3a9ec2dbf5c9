"""Attention with memory: a row also attends to the last inputs of the layer in previous rows.

Beside the letters of `lm.nn.branch`: M inputs in the memory, S = M + T keys of a row.
"""

from typing import ClassVar, NamedTuple

import numpy as np
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, State, refuse_source
from lm.nn.cache import Cache, write
from lm.nn.carry import latest, slot_segments
from lm.nn.dropout import Dropout
from lm.nn.funnel_attention import RELATIVE_AXES, Sinusoids, relative_weights, shifted, sinusoid
from lm.nn.initializers import Initializer, initializer
from lm.nn.projections import HeadOptions, Heads, KeyValue, attend_by_head, attend_shared, by_head
from lm.parts import part
from lm.ranges import NonNegativeInt, PositiveInt, UnitFloat
from lm.types import Shape, Tensor


class Memory(NamedTuple):
    """The last inputs of a layer, [B, M, D], oldest first."""

    inputs: Tensor


@part
class MemoryAttention(Branch):
    """`softmax(((q + u)·k + (q + v)·R W_r) K^-0.5) v · W_o` with k, v projected from [memory; x].

    R are sinusoids of the distance from the query back to the key, so that nothing depends on where
    in a sequence a row begins. Keys and values of the memory are recomputed from its inputs with
    the current weights; no gradient flows into the memory.

    Args:
        num_heads: number of heads H.
        head_dim: width K of a head; None means D / H.
        memory_length: M, the number of inputs that the next row attends to; 0 for no memory.
        dropout: rate on the attention weights.
        sinusoid_dropout: rate on the sinusoids.
        kernel_initializer: name or factory for the initial values of all weights.

    Carry: `Memory`. State: keys and values of the positions so far, `Cache` of `KeyValue` of
    [B, H, L, K]; decoding keeps all positions.

    Raises:
        LayerError: if the width is odd, or does not divide by the heads and `head_dim` is not
            given.

    Source: Dai et al. 2019 (https://arxiv.org/abs/1901.02860), section 3 and appendix B.
    Departures: the memory is cleared at the end of a sequence; the release reads across it. u and v
    are untied (`untie_r` in the release), and each layer has its own dropout on the sinusoids.
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
        # Its seed lies in checkpoints under this older name.
        self.sinusoid_dropout = Dropout(rate=sinusoid_dropout, name="wave_dropout")
        self.initializers = [initializer(kernel_initializer) for _ in range(3)]

    def build(self, x_shape: Shape) -> None:
        self.width = even_width(x_shape)
        self.heads.build(x_shape, x_shape)
        names = ("content_bias", "distance_bias", "distance_kernel")  # u, v, W_r
        self.content_bias, self.distance_bias, self.distance_kernel = relative_weights(
            self, dict(zip(names, self.initializers, strict=True)), x_shape, self.heads.options
        ).values()

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        refuse_source(self, context)
        x = ops.cast(x, self.compute_dtype)
        if context.index is not None:
            return self.step(x, context, state)
        read = ops.concatenate([state.inputs, x], axis=1) if state else x  # [B, M + T, D]
        content, distance = self.queries(x)
        key, value = map(by_head, self.heads.key_value(read))
        kernel = ops.cast(self.distance_kernel, x.dtype)
        bias = shifted(distance, kernel, self.sinusoids(x.shape[1], read.shape[1]))
        after: State = ()
        mask = context.mask
        if state:
            mask, after = remember(read, context, self.memory_length)
        y = attend_by_head(content, key, value, mask, ops.cast(bias, "float32"), self.dropout)
        return self.heads.merge(y), after

    def queries(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns `(q + u) K^-0.5` and `(q + v) K^-0.5`, two of [B, T, H, K]."""
        query = self.heads.split(self.heads.query_dense(x))
        biases = (ops.cast(b, x.dtype) for b in (self.content_bias, self.distance_bias))
        content, distance = ((query + bias) * self.heads.options.scale for bias in biases)
        return content, distance

    def sinusoids(self, count: int, keys: int) -> Sinusoids:
        """Returns the sinusoids of T queries at the end of S keys."""
        key, back = np.arange(keys), distances(count, keys)
        sinusoids = Sinusoids(*(sinusoid(p, self.width) for p in (key[keys - count :], key, back)))
        drawn = self.sinusoid_dropout(ops.convert_to_tensor(sinusoids.distance, self.compute_dtype))
        return sinusoids._replace(distance=drawn)

    def step(self, x: Tensor, context: Context, state: Cache) -> tuple[Tensor, Cache]:
        """Attends to the caches, whose slots may hold different positions in each row."""
        content, distance = self.queries(x)
        new = self.heads.key_value(x)
        cache = write(state, KeyValue(by_head(new.key), by_head(new.value)), context.slot)
        bias = self.step_bias(distance, context)
        y = attend_shared(content, cache.tree, context.mask, bias, self.dropout)
        return self.heads.merge(y), cache

    def step_bias(self, query: Tensor, context: Context) -> Tensor:
        """Returns the logit of the distance to every slot, float32 [B, H, T, L].

        Computes one product per distance, then selects that of each slot, since a slot may hold
        different positions in each row.
        """
        slots = context.key_positions.shape[1]
        kernel = ops.cast(self.distance_kernel, query.dtype)
        sinusoids = ops.convert_to_tensor(sinusoid(np.arange(slots), self.width), query.dtype)
        vectors = ops.einsum("nd,dhk->nhk", sinusoids, kernel)
        products = ops.cast(ops.einsum("bthk,nhk->bhtn", query, vectors), "float32")
        distance = context.query_positions[:, :, None] - context.key_positions[:, None]  # [B, T, L]
        distance = ops.clip(distance, 0, slots - 1)  # slots of no position are masked
        return by_index(products, distance)

    def initial_state(self, batch: int, length: int) -> Cache:
        shape = (batch, self.heads.options.num_heads, length, self.heads.options.head_dim)
        key, value = (ops.zeros(shape, self.compute_dtype) for _ in range(2))
        return Cache(KeyValue(key, value))

    def initial_carry(self, batch: int) -> State:
        return initial_memory(batch, self.memory_length, self.width, self.compute_dtype)


def even_width(x_shape: Shape) -> int:
    """Returns the width D of the inputs.

    Raises:
        LayerError: if it is odd.
    """
    if x_shape[-1] % 2:
        raise LayerError(f"sinusoids need an even width, got HIDDEN_DIM = {x_shape[-1]}")
    return x_shape[-1]


def initial_memory(batch: int, length: int, width: int, dtype: str) -> State:
    """Returns the zero memory before the first row; `()` without memory."""
    return Memory(ops.zeros((batch, length, width), dtype)) if length else ()


def distances(count: int, keys: int) -> np.ndarray:
    """Returns the distances from T queries back to S keys that end with them, [S + T].

    Entry n belongs to all queries t and keys s with n = s + T - 1 - t.

    >>> distances(2, 3)
    array([ 2,  1,  0, -1, -2])
    """
    return keys - 1 - np.arange(keys + count)


def by_index(products: Tensor, index: Tensor) -> Tensor:
    """Returns `products[b, h, t, index[b, t, s]]`, [B, H, T, S], of products [B, H, T, N]."""
    index = ops.broadcast_to(index[:, None], (*products.shape[:3], index.shape[-1]))
    return ops.take_along_axis(products, index, axis=-1)


def remember(
    read: Tensor, context: Context, count: int, query: Tensor = None, remembered: Tensor = None
) -> tuple[Tensor, Memory]:
    """Returns what queries see, bool [B, 1, T, M + S], and the memory after the row.

    Args:
        read: [B, M + S, D], the memory and the row.
        context: of the row.
        count: M.
        query: int32 [B, T], segments of the queries; None if they are the row's own.
        remembered: int32 [B, S], segments of the row, 0 for tokens not to remember; None
            remembers all.
    """
    query, remembered = (context.segments if x is None else x for x in (query, remembered))
    owners = slot_segments(context, context.segments, count)  # [B, M + S]
    visible = ops.equal(query[:, :, None], owners[:, None, :count])
    row = ops.broadcast_to(context.mask, (visible.shape[0], *context.mask.shape[1:]))
    after = latest(read, owners, count, remembered)
    return ops.concatenate([visible[:, None], row], axis=-1), Memory(after)
