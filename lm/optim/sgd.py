"""Gradient descent: Keras' rule, and the same for sparse tables; with clipping and averaging."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from lm.optim.averages import Average
from lm.optim.optimizer import NOTHING, Optimizer
from lm.parts import part
from lm.ranges import NonNegativeFloat, UnitFloat
from lm.types import Tensor


@part
def sgd(
    *,
    learning_rate: Any,
    momentum: UnitFloat = 0.0,
    weight_decay: NonNegativeFloat = 0.0,
    clip_norm: NonNegativeFloat | None = None,
    average: Average | None = None,
) -> Optimizer:
    """Returns gradient descent: w <- w - lr * (g + weight_decay * w).

    With momentum v <- momentum * v - lr * g stands for -lr * g.

    Args:
        learning_rate: a schedule or a number.
        momentum: decay of the sum of gradients; 0 keeps no sum.
        weight_decay: per update and unit of learning rate; of norms, biases and embeddings too.
        clip_norm: largest global norm of the gradient; None does not clip.
        average: decay of the moving average of the weights, or one of `averages`; None keeps none.
    """
    rule = keras.optimizers.SGD(
        learning_rate, momentum=momentum, weight_decay=weight_decay or None, name="sgd"
    )
    sparse = None if momentum or weight_decay else SparseDescent()
    return Optimizer(
        rule=rule, sparse=sparse, clip_norm=clip_norm, average=average, undecayed=NOTHING
    )


class SparseDescent:
    """w <- w - rate * g."""

    slots: Mapping[str, float] = {}

    def __call__(
        self, rows: Tensor, slots: Sequence[Tensor], gradient: Tensor, rate: Tensor
    ) -> list[Tensor]:
        """Returns the new rows."""
        del slots
        return [rows - rate * gradient]
