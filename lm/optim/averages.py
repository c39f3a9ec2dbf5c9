"""Averages of the weights, for evaluation: a moving one, or the mean of all from some update on."""

from typing import TypeAlias

from keras import ops

from lm.parts import value
from lm.ranges import NonNegativeInt, UnitFloat
from lm.types import Tensor


@value
class Uniform:
    """The mean of the weights after each update from `start` on, and until then the weights.

    As a moving average that is one of decay `1 - 1 / (t - start + 1)` after update t.

    Args:
        start: the first update, 0 at the beginning of training.

    Example:
        >>> decay = Uniform(start=5)
        >>> [float(decay(update)) for update in (3, 5, 6, 8)]
        [0.0, 0.0, 0.5, 0.75]

    Source: Polyak, Juditsky 1992; Merity et al. 2017 (https://arxiv.org/abs/1708.02182), section 3.
    """

    def __init__(self, *, start: NonNegativeInt) -> None:
        self.start = start

    def __call__(self, update: Tensor) -> Tensor:
        """Return the decay after an update."""
        count = ops.cast(update, "float32") - self.start + 1.0
        return 1.0 - 1.0 / ops.maximum(count, 1.0)


Average: TypeAlias = UnitFloat | Uniform
"""Decay of a moving average of the weights."""
