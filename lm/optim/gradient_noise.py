"""Gradient noise that decays over the updates, for any update rule."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from keras import ops

from lm.nn.random import hashed, standard_normal, word
from lm.optim.optimizer import Optimizer
from lm.parts import part
from lm.ranges import NonNegativeFloat, Seed
from lm.types import Tensor

_GOLDEN = 0x9E3779B9  # 2^32 over the golden ratio: keeps the keys of neighbours apart


class GradientNoise:
    """g <- g + N(0, s^2) with s^2 = eta / (1 + t)^gamma at update t, after clipping.

    The noise is a hash of seed, weight and update, so there is no state to save.

    Args:
        eta: variance at the first update; 0.01, 0.3 or 1 in the paper.
        gamma: decay exponent; 0.55 in the paper.
        seed: of the noise.

    Source: Neelakantan et al. 2015, https://arxiv.org/abs/1511.06807, equation 1.
    """

    def __init__(self, *, eta: float, gamma: float = 0.55, seed: int = 0) -> None:
        self.eta = eta
        self.gamma = gamma
        self.seed = seed

    def deviation(self, update: Tensor) -> Tensor:
        """Returns s of an update, a float32 scalar.

        >>> [round(float(GradientNoise(eta=0.3).deviation(t)), 6) for t in (0, 100)]
        [0.547723, 0.153947]
        """
        t = ops.cast(update, "float32")
        return math.sqrt(self.eta) * ops.power(1.0 + t, -0.5 * self.gamma)

    def __call__(self, gradients: Sequence[Tensor], update: Tensor) -> list[Tensor]:
        """Returns the gradients of an update with independent noise added."""
        deviation = self.deviation(update)
        return [
            g + ops.cast(deviation * self.draw(i, g, update), g.dtype)
            for i, g in enumerate(gradients)
        ]

    def draw(self, number: int, gradient: Tensor, update: Tensor) -> Tensor:
        """Returns numbers of N(0, 1) in the shape of a gradient."""
        key = np.uint32((self.seed + number * _GOLDEN) % 2**32), word(update)
        shape = tuple(gradient.shape) or (1,)
        rows = ops.arange(shape[0], dtype="int32")
        return ops.reshape(standard_normal(hashed(shape, key, rows)), gradient.shape)


@part
def noisy(
    *,
    optimizer: Callable[[], Optimizer],
    eta: NonNegativeFloat,
    gamma: NonNegativeFloat = 0.55,
    seed: Seed = 0,
) -> Optimizer:
    """Returns an optimizer with noise on its gradients, except those of sparse tables.

    Args:
        optimizer: factory of the optimizer, such as `adamw.adamw`.
        eta: variance at the first update; 0.01, 0.3 or 1 in the paper.
        gamma: how fast it falls; 0.55 in the paper.
        seed: of the noise.

    Source: `GradientNoise`.
    """
    made = optimizer()
    made.noise = GradientNoise(eta=eta, gamma=gamma, seed=seed)
    return made
