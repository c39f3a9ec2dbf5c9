"""Absolute positions: learned, sinusoidal, rotary."""

import math
from typing import ClassVar

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.initializers import Initializer, initializer
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Shape, Tensor


@part
class LearnedPosition(keras.layers.Layer):
    """`x + P[position]` with a table P [max_sequence_length, D].

    Args:
        max_sequence_length: rows of the table; longer sequences are refused.
        embeddings_initializer: name or factory of the table's initial values.

    Raises:
        LayerError: if the sequence is longer than the table.

    Source: Gehring et al. 2017 (https://arxiv.org/abs/1705.03122); GPT-2 and BERT use it.
    """

    logical_axes: ClassVar = {"embeddings": ("abspos_buckets", "embed")}

    def __init__(
        self,
        *,
        max_sequence_length: PositiveInt,
        embeddings_initializer: Initializer = "uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.max_sequence_length = max_sequence_length
        self.embeddings_initializer = initializer(embeddings_initializer)

    def build(self, x_shape: Shape) -> None:
        self.table = self.add_weight(
            shape=(self.max_sequence_length, x_shape[-1]),
            initializer=self.embeddings_initializer,
            name="embeddings",
        )

    def call(self, x: Tensor, positions: Tensor) -> Tensor:
        self.check_length(x.shape[1])
        return x + ops.take(self.table, positions, axis=0)

    def check_length(self, length: int) -> None:
        if length > self.max_sequence_length:
            raise LayerError(
                f"{length} positions do not fit LearnedPosition.max_sequence_length = "
                f"{self.max_sequence_length}: shorten TASK_FEATURE_LENGTHS or raise that binding"
            )


@part
class SinusoidalPosition(keras.layers.Layer):
    """`x + [sin(p · w), cos(p · w)]` with D/2 frequencies w from 1 down to 1 / max_wavelength.

    Raises:
        LayerError: if the width D is odd.

    Source: Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762), section 3.5.
    Departures: as Tensor2Tensor, the sines fill the first half of the width and the cosines the
    second (the paper interleaves them), and the slowest frequency is 1 / max_wavelength exactly.
    """

    max_sequence_length = None  # any length fits

    def __init__(self, *, max_wavelength: float = 10_000.0, name: str | None = None) -> None:
        super().__init__(name=name)
        self.max_wavelength = max_wavelength

    def call(self, x: Tensor, positions: Tensor) -> Tensor:
        return x + ops.cast(sinusoids(positions, x.shape[-1], self.max_wavelength), x.dtype)

    def check_length(self, length: int) -> None:
        """Any length fits."""


@part
class ScaledSinusoidalPosition(keras.layers.Layer):
    """`x + scale · [sin(p · w), cos(p · w)]`: `SinusoidalPosition` with one learned scale.

    The scale starts at D^-0.5, so that the sinusoids are about as small as embeddings initialized
    with a standard deviation of 0.02.

    Source: Hua et al. 2022 (https://arxiv.org/abs/2202.10447), appendix.
    """

    max_sequence_length = None  # any length fits

    def __init__(self, *, max_wavelength: float = 10_000.0, name: str | None = None) -> None:
        super().__init__(name=name)
        self.max_wavelength = max_wavelength

    def build(self, x_shape: Shape) -> None:
        start = keras.initializers.Constant(x_shape[-1] ** -0.5)
        self.scale = self.add_weight(shape=(), initializer=start, name="scale")

    def call(self, x: Tensor, positions: Tensor) -> Tensor:
        added = self.scale * sinusoids(positions, x.shape[-1], self.max_wavelength)
        return x + ops.cast(added, x.dtype)

    def check_length(self, length: int) -> None:
        """Any length fits."""


@part
class RotaryPosition(keras.layers.Layer):
    """Rotates each pair (x_i, x_{i+K/2}) of a query or key by the angle position · w_i.

    `w_i = max_wavelength^(-i / (K/2))`, so that q·k depends on the distance of the two positions.

    Args:
        max_wavelength: the slowest pair makes one turn in about this many positions (times 2π).

    Source: Su et al. 2021 (https://arxiv.org/abs/2104.09864), section 3.4.2.
    Departures: pairs are (i, i + K/2) as in GPT-NeoX, not (2i, 2i + 1): the same up to a
    permutation of the head's channels.
    """

    def __init__(self, *, max_wavelength: float = 10_000.0, name: str | None = None) -> None:
        super().__init__(name=name)
        self.max_wavelength = max_wavelength

    def call(self, x: Tensor, positions: Tensor) -> Tensor:
        angles = rotary_angles(positions, x.shape[-1], self.max_wavelength)  # [B, T, K/2]
        return rotate(x, angles[..., None, :])


def sinusoids(positions: Tensor, width: int, max_wavelength: float) -> Tensor:
    """Returns `[sin(p · w), cos(p · w)]`, float32 [B, T, D]."""
    half = half_of(width, "HIDDEN_DIM")
    step = math.log(max_wavelength) / max(half - 1, 1)
    frequencies = ops.exp(-step * ops.arange(half, dtype="float32"))
    angles = ops.cast(positions, "float32")[..., None] * frequencies  # [B, T, D/2]
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def rotary_angles(positions: Tensor, width: int, max_wavelength: float) -> Tensor:
    """Returns `position · max_wavelength^(-i / (K/2))`, float32 [B, T, K/2]."""
    half = half_of(width, "HEAD_DIM")
    exponents = ops.arange(half, dtype="float32") / half
    frequencies = ops.exp(-math.log(max_wavelength) * exponents)
    return ops.cast(positions, "float32")[..., None] * frequencies


def half_of(width: int, macro: str) -> int:
    """Returns half of a width, or refuses an odd one, naming the macro that sets it."""
    if width % 2:
        raise LayerError(f"a width of {width} is odd and has no sines and cosines: change {macro}")
    return width // 2


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Rotates the pairs (x_i, x_{i+K/2}) of x [..., K] by angles [..., K/2]."""
    half = x.shape[-1] // 2
    sin, cos = ops.cast(ops.sin(angles), x.dtype), ops.cast(ops.cos(angles), x.dtype)
    left, right = x[..., :half], x[..., half:]
    return ops.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1)
