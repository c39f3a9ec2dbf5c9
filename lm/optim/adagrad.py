"""Adagrad: Keras' rule, dense and for sparse tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from lm.optim.averages import Average
from lm.optim.optimizer import Optimizer
from lm.parts import part
from lm.ranges import NonNegativeFloat
from lm.types import Tensor


@part
def adagrad(
    *,
    learning_rate: Any,
    initial_accumulator_value: NonNegativeFloat = 0.1,
    epsilon: NonNegativeFloat = 1e-7,
    clip_norm: NonNegativeFloat | None = None,
    average: Average | None = None,
) -> Optimizer:
    """Returns Adagrad: a <- a + g^2; w <- w - lr * g / sqrt(a + epsilon).

    Args:
        learning_rate: a schedule or a number.
        initial_accumulator_value: of a.
        epsilon: added to a under the root.
        clip_norm: largest global norm of the gradient; None does not clip.
        average: decay of the moving average of the weights, or one of `averages`; None keeps none.

    Source: Duchi et al. 2011, https://jmlr.org/papers/v12/duchi11a.html.
    """
    rule = keras.optimizers.Adagrad(
        learning_rate,
        initial_accumulator_value=initial_accumulator_value,
        epsilon=epsilon,
        name="adagrad",
    )
    sparse = SparseAdagrad(initial=initial_accumulator_value, epsilon=epsilon)
    return Optimizer(rule=rule, sparse=sparse, clip_norm=clip_norm, average=average)


class SparseAdagrad:
    """a <- a + g^2; w <- w - rate * g / sqrt(a + epsilon).

    Args:
        initial: value of a before the first update.
        epsilon: added to a under the root.
    """

    def __init__(self, *, initial: float, epsilon: float) -> None:
        self.slots: Mapping[str, float] = {"accumulator": initial}
        self.epsilon = epsilon

    def __call__(
        self, rows: Tensor, slots: Sequence[Tensor], gradient: Tensor, rate: Tensor
    ) -> list[Tensor]:
        """Returns the new rows and accumulators."""
        accumulator = slots[0] + ops.square(gradient)
        return [rows - rate * gradient * ops.rsqrt(accumulator + self.epsilon), accumulator]
