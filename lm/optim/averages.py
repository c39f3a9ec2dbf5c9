"""Averages of the weights, for evaluation: moving averages, or the mean since some update."""

import math
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops

from lm.parts import value
from lm.ranges import NonNegativeInt, PositiveInt, UnitFloat
from lm.types import Tensor

NEVER = np.iinfo("int32").max
LARGEST = float(np.finfo("float32").max)  # finite, since checkpoints hold only finite numbers


@value
class Uniform:
    """The mean of the weights over all updates since `start`; before that, the weights.

    This is a moving average with decay `1 - 1 / (t - start + 1)` after update t.

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
        """Returns the decay after an update."""
        return uniform_decay(update, self.start)


@value
class NonMonotonic:
    """`Uniform`, started by the first evaluation whose loss no longer falls.

    With losses v_1, v_2, … of a run's evaluations, that is the first t with

        v_t > min(v_1 … v_{t - n - 1})

    The losses needed for this are part of the optimizer's state.

    Args:
        patience: n, the number of latest evaluations excluded from the minimum (paper: 5).

    Attributes:
        variables: first update of the mean, minimum of all but the last n losses, these n losses.

    Source: Merity et al. 2017 (https://arxiv.org/abs/1708.02182), algorithm 1.
    """

    def __init__(self, *, patience: PositiveInt = 5) -> None:
        self.patience = patience
        self.variables: list[Any] = []

    def build(self) -> None:
        """Makes the variables."""
        with keras.name_scope("average"):
            self.start = _constant("start", NEVER, "int32", ())
            self.least = _constant("least", LARGEST, "float32", ())
            self.recent = _constant("recent", LARGEST, "float32", (self.patience,))
        self.variables = [self.start, self.least, self.recent]

    def __call__(self, update: Tensor) -> Tensor:
        """Returns the decay after an update."""
        return uniform_decay(update, self.start)

    def add(self, loss: float, update: int) -> bool:
        """Records the loss of an evaluation; returns whether the mean starts with this update."""
        loss = loss if math.isfinite(loss) else LARGEST
        least, (oldest, *recent) = float(self.least), np.asarray(self.recent)
        begins = int(self.start) == NEVER and loss > least
        if begins:
            self.start.assign(update)
        self.least.assign(min(least, oldest))
        self.recent.assign([*recent, loss])
        return begins


Average: TypeAlias = UnitFloat | Uniform | NonMonotonic
"""Decay of a moving average of the weights."""


def uniform_decay(update: Tensor, start: Tensor | int) -> Tensor:
    """Returns `1 - 1 / (t - start + 1)` after update t, 0 before `start`."""
    count = ops.cast(update, "float32") - ops.cast(start, "float32") + 1.0
    return 1.0 - 1.0 / ops.maximum(count, 1.0)


def _constant(name: str, number: float, dtype: str, shape: tuple[int, ...]) -> Any:
    return keras.Variable(np.full(shape, number, dtype), trainable=False, dtype=dtype, name=name)
