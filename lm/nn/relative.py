"""T5's relative position bias: one learned number per head and bucket of distances."""

import math
from typing import Any

import keras
from keras import ops

from lm.nn.initializers import initializer


def bucket(distance: Any, *, num_buckets: int, max_distance: int, bidirectional: bool) -> Any:
    """Returns the bucket of each relative distance (key minus query).

    Half of the buckets are exact, the other half grow logarithmically up to `max_distance`. In a
    bidirectional stack keys to the right use a second set of buckets; in a causal one they all
    share bucket 0, for they are masked.

    >>> distances = ops.array([0, -7, -8, -91, 1])
    >>> print(np.asarray(bucket(distances, num_buckets=32, max_distance=128, bidirectional=True)))
    [ 0  7  8 15 17]
    """
    offset = 0
    if bidirectional:
        num_buckets //= 2
        offset = ops.where(distance > 0, num_buckets, 0)
        distance = ops.abs(distance)
    else:
        distance = ops.maximum(-distance, 0)
    exact = num_buckets // 2
    ratio = ops.cast(ops.maximum(distance, exact), "float32") / exact
    growth = ops.log(ratio) / math.log(max_distance / exact) * (num_buckets - exact)
    far = ops.minimum(exact + ops.cast(growth, "int32"), num_buckets - 1)
    return offset + ops.where(distance < exact, distance, far)


class RelativeBias(keras.layers.Layer):
    """`bias[h, t, s] = table[bucket(s - t), h]`, added to attention logits by a whole stack.

    Args:
        num_heads: heads of the attention it serves.
        num_buckets: rows of the table (T5 32, of which half per side if bidirectional).
        max_distance: distances from here on share the last bucket (T5 128).
        bidirectional: whether keys to the right have buckets of their own (encoders).
        embeddings_initializer: name or factory of the table's initial values.

    Source: Raffel et al. 2020 (https://arxiv.org/abs/1910.10683), section 2.1.
    Departures: initial values follow T5X (uniform, fan average).
    """

    def __init__(
        self,
        *,
        num_heads: int,
        num_buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool,
        embeddings_initializer: Any = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.embeddings_initializer = initializer(embeddings_initializer)

    def build(self, query_shape: Any) -> None:
        del query_shape
        self.table = self.add_weight(
            shape=(self.num_buckets, self.num_heads),
            initializer=self.embeddings_initializer,
            name="embeddings",
        )

    def call(self, query: Any, key: Any) -> Any:
        """Returns float32 [B or 1, H, T, S] from the places in the row of queries and keys.

        Places ([B or 1, T] and [B or 1, S]) rather than positions: inside a segment both differ
        by the same distance, and places are the same for every row, so that one [T, S] serves all.
        """
        distance = key[:, None, :] - query[:, :, None]  # [B or 1, T, S]
        buckets = bucket(
            distance,
            num_buckets=self.num_buckets,
            max_distance=self.max_distance,
            bidirectional=self.bidirectional,
        )
        values = ops.take(self.table, buckets, axis=0)  # [B or 1, T, S, H]
        return ops.transpose(values, (0, 3, 1, 2))
