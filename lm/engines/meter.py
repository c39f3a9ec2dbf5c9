"""Sums over a log window, kept on the device and in the checkpoint."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from lm.types import Shape, Tensor

COUNTERS = ("skipped", "skipped_in_row", "rollbacks")


class Meter:
    """(total, weight) of every term since the last reset, the last learning rate, and counts.

    Args:
        terms: names of the objective's terms.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        with keras.name_scope("meter"):
            self.sums = {name: _variable((2,), "float32", name) for name in (*terms, "grad_norm")}
            self.learning_rate = _variable((), "float32", "learning_rate")
            self.counters = {name: _variable((), "int32", name) for name in COUNTERS}

    @property
    def variables(self) -> list[Any]:
        """All its variables: part of the training state."""
        return [*self.sums.values(), self.learning_rate, *self.counters.values()]

    def add(
        self, terms: Mapping[str, Tensor], *, norm: Tensor, learning_rate: Tensor, accepted: Tensor
    ) -> None:
        """Add the terms of one step, unless its update was skipped.

        Args:
            terms: name -> float32 [2], the total and the weight.
            norm: global norm of the gradient.
            learning_rate: rate of this update.
            accepted: bool scalar, whether the update was made.
        """
        terms = {**terms, "grad_norm": ops.stack([norm, ops.ones_like(norm)])}
        for name, variable in self.sums.items():
            variable.assign(variable + ops.where(accepted, terms[name], 0.0))
        self.learning_rate.assign(learning_rate)
        skipped = ops.cast(ops.logical_not(accepted), "int32")
        total, in_row = self.counters["skipped"], self.counters["skipped_in_row"]
        total.assign(total + skipped)
        in_row.assign((in_row + skipped) * skipped)

    def read(self) -> dict[str, float]:
        """Return the means of the window, the rate and the counts; waits for the device.

        `target_tokens` is the weight per update of the cross entropy, or else of the loss.
        """
        sums = {name: np.asarray(v.value) for name, v in self.sums.items()}
        means = {name: mean(*pair) for name, pair in sums.items()}
        weighed = sums.get("cross_entropy", sums["loss"])
        means["target_tokens"] = mean(weighed[1], sums["grad_norm"][1])
        scalars = {"learning_rate": self.learning_rate, **self.counters}
        return means | {name: np.asarray(v.value).item() for name, v in scalars.items()}

    def reset(self) -> None:
        """Start a new window; the counts go on."""
        for variable in self.sums.values():
            variable.assign(np.zeros(2, "float32"))


def mean(total: float, weight: float) -> float:
    """Return total / weight, NaN where nothing was weighed.

    Example:
        >>> mean(3.0, 2.0), mean(0.0, 0.0)
        (1.5, nan)
    """
    return float(total) / float(weight) if weight else float("nan")


def _variable(shape: Shape, dtype: str, name: str) -> Any:
    """Return a variable of zeros that no layer owns."""
    return keras.Variable(np.zeros(shape, dtype), trainable=False, dtype=dtype, name=name)
