"""Adafactor as in T5: factored second moments, steps relative to the parameter scale."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from lm.optim.averages import Average
from lm.optim.optimizer import Optimizer
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt
from lm.types import Shape, Tensor


@part
def adafactor(
    *,
    learning_rate: Any,
    decay_exponent: NonNegativeFloat = 0.8,
    clip_threshold: NonNegativeFloat = 1.0,
    min_factored: PositiveInt = 128,
    clip_norm: NonNegativeFloat | None = None,
    average: Average | None = None,
    frozen: str | None = None,
) -> Optimizer:
    """Returns Adafactor with the defaults of T5; see `Adafactor` for the rule.

    Args:
        learning_rate: a schedule or a number, relative to the scale of each variable.
        decay_exponent: c of the second moments' decay 1 - t^-c.
        clip_threshold: largest root mean square of a variable's update.
        min_factored: a variable is factored if its two largest dimensions are at least this.
        clip_norm: largest global norm of the gradient; None (T5) does not clip.
        average: decay of the moving average of the weights, or one of `averages`; None keeps none.
        frozen: regular expression of the paths of weights that keep their values; None trains all.
    """
    rule = Adafactor(
        learning_rate=learning_rate,
        decay_exponent=decay_exponent,
        clip_threshold=clip_threshold,
        min_factored=min_factored,
    )
    return Optimizer(rule=rule, clip_norm=clip_norm, average=average, frozen=frozen)


class Adafactor(keras.optimizers.Optimizer):
    r"""Second moments as row and column means, clipped updates, steps scaled by the weight.

    For update t = 1, 2, ... of a variable W with gradient G, and b = 1 - t^-c:

        R <- b R + (1 - b) mean_columns(G^2 + eps1)      C <- b C + (1 - b) mean_rows(G^2 + eps1)
        U  = G / sqrt(R C / mean(R))                     (G / sqrt(V) where not factored)
        W <- W - rate * max(rms(W), eps2) * U / max(1, rms(U) / clip_threshold)

    Memory: one number per row and column instead of one per weight.

    Args:
        learning_rate: a schedule or a number: the relative step size.
        decay_exponent: c.
        clip_threshold: largest root mean square of U.
        min_factored: a variable is factored if its two largest dimensions are at least this.
        epsilon_1: added to the squared gradient.
        epsilon_2: smallest scale of a variable, so that one initialised to zero moves.

    Source: Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235, algorithm 4; defaults of
    Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 3.1.2.
    Departures: no cap 1/sqrt(t) on the rate (that is the schedule's) and no first moment, as in T5.
    """

    def __init__(
        self,
        *,
        learning_rate: Any,
        decay_exponent: NonNegativeFloat = 0.8,
        clip_threshold: NonNegativeFloat = 1.0,
        min_factored: PositiveInt = 128,
        epsilon_1: NonNegativeFloat = 1e-30,
        epsilon_2: NonNegativeFloat = 1e-3,
    ) -> None:
        super().__init__(learning_rate, name="adafactor")
        self.decay_exponent = decay_exponent
        self.clip_threshold = clip_threshold
        self.min_factored = min_factored
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the second moments: rows and columns, or one of the variable's shape."""
        if self.built:
            return
        super().build(variables)
        self._moments = [self._make_moments(v) for v in variables]

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """Updates one variable and its moments."""
        gradient = ops.cast(gradient, "float32")
        weight = ops.cast(variable, "float32")
        square = ops.square(gradient) + self.epsilon_1
        step = ops.cast(self.iterations, "float32") + 1.0
        decay = 1.0 - ops.power(step, -self.decay_exponent)
        moments = self._moments[self._get_variable_index(variable)]
        axes = factored_axes(variable.shape, self.min_factored)
        update = gradient * self._scale(moments, axes, square, decay)
        update = update / ops.maximum(1.0, _rms(update) / self.clip_threshold)
        rate = ops.cast(learning_rate, "float32") * ops.maximum(_rms(weight), self.epsilon_2)
        self.assign(variable, ops.cast(weight - rate * update, variable.dtype))

    def _make_moments(self, variable: Any) -> list[Any]:
        """Returns the moments of one variable, in float32, each under its own path."""
        axes = factored_axes(variable.shape, self.min_factored)
        dropped = {"square": None} if axes is None else {"row": axes[1], "column": axes[0]}
        stem = variable.path.replace("/", "_")
        # On a mesh a full moment is split as its weight is; rows and columns are replicated.
        layout = getattr(variable, "_layout", None) if axes is None else None
        return [
            self.add_variable(
                _without(variable.shape, axis),
                dtype="float32",
                layout=layout,
                name=f"{stem}_{kind}",
            )
            for kind, axis in dropped.items()
        ]

    def _scale(
        self, moments: list[Any], axes: tuple[int, int] | None, square: Tensor, decay: Tensor
    ) -> Tensor:
        """Advances the moments and returns 1 / sqrt(second moment), broadcast over the variable."""
        if axes is None:
            return ops.rsqrt(self._advance(moments[0], square, decay))
        down, across = axes  # a matrix [down, across]: row [down], column [across]
        row = self._advance(moments[0], ops.mean(square, axis=across), decay)
        column = self._advance(moments[1], ops.mean(square, axis=down), decay)
        mean = ops.mean(row, axis=down, keepdims=True)
        rows = ops.expand_dims(ops.rsqrt(row / mean), across)
        return rows * ops.expand_dims(ops.rsqrt(column), down)

    def _advance(self, moment: Any, value: Tensor, decay: Tensor) -> Tensor:
        """Stores and returns decay * moment + (1 - decay) * value."""
        new = decay * moment + (1.0 - decay) * value
        self.assign(moment, new)
        return new


def factored_axes(shape: Sequence[int], min_factored: int) -> tuple[int, int] | None:
    """Returns the axes of the two largest dimensions, or None if one of them is too small.

    Example:
        >>> factored_axes((127, 4096), 128), factored_axes((128, 4096), 128)
        (None, (0, 1))
        >>> factored_axes((8, 512, 256), 128)
        (1, 2)
    """
    largest = sorted(range(len(shape)), key=lambda axis: shape[axis], reverse=True)
    if len(shape) <= 1 or shape[largest[1]] < min_factored:
        return None
    return min(largest[:2]), max(largest[:2])


def _without(shape: Sequence[int], axis: int | None) -> Shape:
    """Returns the shape without one axis."""
    return tuple(size for i, size in enumerate(shape) if i != axis)


def _rms(x: Tensor) -> Tensor:
    """Returns the root of the mean square."""
    return ops.sqrt(ops.mean(ops.square(x)))
