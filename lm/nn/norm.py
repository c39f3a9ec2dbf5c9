"""Normalisation over the width, with float32 statistics in any compute dtype."""

import keras
from keras import ops

from lm.parts import part
from lm.types import Shape, Tensor


@part
class LayerNorm(keras.layers.Layer):
    """`(x - mean) / sqrt(variance + epsilon) · scale + bias`, over the last axis.

    Args:
        epsilon: added to the variance (GPT-2 1e-5, BERT 1e-12, Tensor2Tensor 1e-6).

    Source: Ba, Kiros, Hinton 2016 (https://arxiv.org/abs/1607.06450).
    """

    def __init__(self, *, epsilon: float = 1e-5, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        width = (input_shape[-1],)
        self.scale = self.add_weight(shape=width, initializer="ones", name="scale")
        self.bias = self.add_weight(shape=width, initializer="zeros", name="bias")

    def call(self, x: Tensor) -> Tensor:
        x = ops.cast(x, "float32")
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        y = centred * ops.rsqrt(variance + self.epsilon) * self.scale + self.bias
        return ops.cast(y, self.compute_dtype)


@part
class RMSNorm(keras.layers.Layer):
    """`x / sqrt(mean(x²) + epsilon) · scale`, over the last axis.

    Args:
        epsilon: added to the mean square (T5 1e-6).

    Source: Zhang, Sennrich 2019 (https://arxiv.org/abs/1910.07467).
    """

    def __init__(self, *, epsilon: float = 1e-6, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

    def call(self, x: Tensor) -> Tensor:
        x = ops.cast(x, "float32")
        mean_square = ops.mean(ops.square(x), axis=-1, keepdims=True)
        y = x * ops.rsqrt(mean_square + self.epsilon) * self.scale
        return ops.cast(y, self.compute_dtype)


@part
class ScaleNorm(keras.layers.Layer):
    """`x / sqrt(mean(x²) + epsilon) · scale` over the last axis, with one number for the scale.

    Args:
        epsilon: added to the mean square.

    Source: Nguyen, Salazar 2019 (https://arxiv.org/abs/1910.05895), section 2.2; FLASH uses it.
    Departures: the root of the mean, not of the sum: the scale starts at 1 instead of sqrt(D).
    """

    def __init__(self, *, epsilon: float = 1e-5, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        del input_shape
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x: Tensor) -> Tensor:
        x = ops.cast(x, "float32")
        mean_square = ops.mean(ops.square(x), axis=-1, keepdims=True)
        y = x * ops.rsqrt(mean_square + self.epsilon) * self.scale
        return ops.cast(y, self.compute_dtype)
