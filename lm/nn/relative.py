"""Relative position biases: T5's buckets, one number per distance (Toeplitz), rotary products."""

import math
from typing import ClassVar

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.initializers import Initializer, initializer
from lm.nn.position import rotary_angles, rotate
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Shape, Tensor


def bucket(distance: Tensor, *, num_buckets: int, max_distance: int, bidirectional: bool) -> Tensor:
    """Returns the bucket of each relative distance (key minus query).

    Half of the buckets are exact, the others grow logarithmically up to `max_distance`. In a
    bidirectional stack keys to the right use a second set of buckets; in a causal one they are
    masked and share bucket 0.

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


@part
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

    logical_axes: ClassVar = {"embeddings": ("relpos_buckets", "heads")}

    def __init__(
        self,
        *,
        num_heads: PositiveInt,
        num_buckets: PositiveInt = 32,
        max_distance: PositiveInt = 128,
        bidirectional: bool,
        embeddings_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.embeddings_initializer = initializer(embeddings_initializer)

    def build(self, query_shape: Shape) -> None:
        del query_shape
        self.table = self.add_weight(
            shape=(self.num_buckets, self.num_heads),
            initializer=self.embeddings_initializer,
            name="embeddings",
        )

    def call(self, query: Tensor, key: Tensor) -> Tensor:
        """Returns float32 [B or 1, H, T, S] from positions [B or 1, T] and [B or 1, S] in the row.

        Positions in the row suffice, since within a segment the distances are the same. They are
        equal in every row, so that one [T, S] serves the whole batch.
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


@part
class ToeplitzBias(keras.layers.Layer):
    """`bias[t, s] = w[s - t + n - 1]`: one learned number per distance, for a single head.

    Args:
        max_sequence_length: n; the table has 2n - 1 numbers.
        embeddings_initializer: name or factory of the table's initial values.

    Raises:
        LayerError: in `check_length`, if a sequence is longer than the table.

    Example:
        >>> bias = ToeplitzBias(max_sequence_length=3, name="bias")
        >>> positions = ops.arange(3)[None]
        >>> _ = bias(positions, positions)
        >>> _ = bias.table.assign(ops.arange(5.0))
        >>> print(np.asarray(bias(positions, positions))[0, 0])
        [[2. 3. 4.]
         [1. 2. 3.]
         [0. 1. 2.]]

    Source: Hua et al. 2022 (https://arxiv.org/abs/2202.10447), appendix: for lengths up to 512.
    """

    def __init__(
        self,
        *,
        max_sequence_length: PositiveInt,
        embeddings_initializer: Initializer = "zeros",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.max_sequence_length = max_sequence_length
        self.embeddings_initializer = initializer(embeddings_initializer)

    def build(self, query_shape: Shape) -> None:
        del query_shape
        self.table = self.add_weight(
            shape=(2 * self.max_sequence_length - 1,),
            initializer=self.embeddings_initializer,
            name="embeddings",
        )

    def call(self, query: Tensor, key: Tensor) -> Tensor:
        """Returns float32 [B or 1, 1, T, S] from positions [B or 1, T] and [B or 1, S]."""
        distance = key[:, None, None, :] - query[:, None, :, None]
        last = self.max_sequence_length - 1  # keys further apart are masked
        return ops.take(self.table, ops.clip(distance + last, 0, 2 * last), axis=0)

    def check_length(self, length: int) -> None:
        if length > self.max_sequence_length:
            raise LayerError(
                f"{length} positions do not fit ToeplitzBias.max_sequence_length = "
                f"{self.max_sequence_length}: shorten them, raise that binding, or bind "
                "relative.RotaryBias, which has no maximum distance"
            )


@part
class RotaryBias(keras.layers.Layer):
    """`bias[t, s] = ⟨rotate(a, t), rotate(c, s)⟩` with two learned vectors, for a single head.

    The product depends on s - t alone, and every length fits.

    Args:
        dim: width of the two vectors, even (FLASH: 128).
        max_wavelength: as of `position.RotaryPosition`.
        kernel_initializer: name or factory of the initial values of both vectors.

    Source: Hua et al. 2022 (https://arxiv.org/abs/2202.10447), appendix: for lengths above 512.
    """

    def __init__(
        self,
        *,
        dim: PositiveInt,
        max_wavelength: float = 10_000.0,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.dim = dim
        self.max_wavelength = max_wavelength
        self.initializers = [initializer(kernel_initializer) for _ in "ac"]

    def build(self, query_shape: Shape) -> None:
        del query_shape
        self.query_vector, self.key_vector = (
            self.add_weight(shape=(self.dim,), initializer=each, name=f"{side}_bias")
            for side, each in zip(("query", "key"), self.initializers, strict=True)
        )

    def call(self, query: Tensor, key: Tensor) -> Tensor:
        """Returns float32 [B or 1, 1, T, S] from positions [B or 1, T] and [B or 1, S]."""
        left, right = self.rotated(self.query_vector, query), self.rotated(self.key_vector, key)
        return ops.matmul(left, ops.swapaxes(right, 1, 2))[:, None]

    def rotated(self, vector: Tensor, positions: Tensor) -> Tensor:
        """[K] and [B or 1, T] → [B or 1, T, K]."""
        angles = rotary_angles(positions, self.dim, self.max_wavelength)
        return rotate(ops.cast(vector, "float32"), angles)

    def check_length(self, length: int) -> None:
        """Any length fits."""
