"""Gradient descent: Keras' rule, with clipping and averaging."""

from typing import Any

import keras

from lm.optim.optimizer import Optimizer
from lm.optim.sparse import SparseDescent
from lm.parts import part
from lm.ranges import NonNegativeFloat, UnitFloat


@part
def sgd(
    *,
    learning_rate: Any,
    momentum: UnitFloat = 0.0,
    clip_norm: NonNegativeFloat | None = None,
    average: UnitFloat | None = None,
) -> Optimizer:
    """Return gradient descent: w <- w - lr * g, with momentum v <- momentum * v - lr * g.

    Args:
        learning_rate: a schedule or a number.
        momentum: decay of the sum of gradients; 0 keeps no sum.
        clip_norm: largest global norm of the gradient; None does not clip.
        average: decay of the moving average of the weights; None keeps no average.
    """
    rule = keras.optimizers.SGD(learning_rate, momentum=momentum, name="sgd")
    sparse = None if momentum else SparseDescent()
    return Optimizer(rule=rule, sparse=sparse, clip_norm=clip_norm, average=average)
