"""Dropout whose random state has a stable name and can be saved and restored."""

from collections.abc import Sequence

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.random import hashed, word
from lm.parts import part
from lm.ranges import UnitFloat
from lm.types import Shape, Tensor, Training


@part
class Dropout(keras.layers.Layer):
    """Sets each element to zero with probability `rate` and scales the rest by 1 / (1 - rate).

    Args:
        rate: probability in [0, 1).
        broadcast_axes: axes along which the mask is shared; `[1]` is T5's dropout, the same for
            every position of a sequence (as in Mesh TensorFlow and T5X).

    Raises:
        LayerError: `rate` is not in [0, 1).

    Source: Srivastava et al. 2014 (https://jmlr.org/papers/v15/srivastava14a.html).
    """

    def __init__(
        self, *, rate: UnitFloat, broadcast_axes: Sequence[int] = (), name: str | None = None
    ) -> None:
        super().__init__(name=name)
        if not 0 <= rate < 1:
            raise LayerError(f"Dropout.rate must lie in [0, 1), got {rate}")
        self.rate = rate
        self.broadcast_axes = tuple(broadcast_axes)

    def build(self, input_shape: Shape) -> None:
        del input_shape
        if self.rate > 0:
            # Keras' own dropout numbers its state's name globally ("seed_generator_12").
            self.seed = keras.random.SeedGenerator(name="seed")

    def call(self, x: Tensor, training: Training = None) -> Tensor:
        if not training or self.rate == 0:
            return x
        return self.dropped(x, word(self.seed.next()))

    def dropped(self, x: Tensor, key: Tensor) -> Tensor:
        """Returns the result of a training call, given a draw of the seed, uint32 [2]."""
        axes = enumerate(ops.shape(x))
        shape = tuple(1 if axis in self.broadcast_axes else n for axis, n in axes)
        keep_mask = hashed(shape, key, ops.arange(shape[0], dtype="int32")) >= self.rate
        return ops.where(keep_mask, x / (1 - self.rate), ops.zeros_like(x))

    def keys(self, count: int) -> Tensor:
        """Returns draws of the seed, uint32 [count, 2]; None if nothing is dropped.

        For loops, inside which the seed cannot advance.
        """
        if not self.built:
            self.build(())
        if not self.is_active():
            return None
        return word(ops.stack([self.seed.next() for _ in range(count)]))

    def is_active(self) -> bool:
        """Returns whether a call of the surrounding layer's call would drop anything."""
        return self.rate > 0 and bool(self._get_call_context().get_value("training"))
