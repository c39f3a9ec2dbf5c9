"""Gradient accumulation over several batches, by a schedule, and the gradient noise scale.

Batches keep their shape, so that a step is compiled once. Each step adds its gradient to the sums.
When an update is due, its gradient is the sum over all batches since the last update divided by the
sum of weights, as if they had been one batch.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from lm.types import Tensor

NOISE_SCALE = "gradient_noise_scale"


class Total(NamedTuple):
    """Sums over the batches since the last update, including the current one.

    Attributes:
        gradients: of the sum of their losses, one for each weight.
        weight: float32 scalar, of their losses.
        batches: int32 scalar, number of batches.
        examples: int32 scalar, rows since the beginning of training.
        squares: float32 scalar, sum of the squared norms of the batches' mean gradients.
        is_due: bool scalar, whether an update is.
    """

    gradients: list[Tensor]
    weight: Tensor
    batches: Tensor
    examples: Tensor
    squares: Tensor
    is_due: Tensor


class EachBatch:
    """Updates after every batch, without accumulation."""

    copies = 0
    metrics: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.variables: list[Any] = []

    def build(self, weights: Sequence[Any]) -> None:
        """Makes nothing."""

    def add(self, gradients: Sequence[Tensor], weight: Tensor, rows: int) -> Total:
        """Returns the batch itself; arguments as in `Accumulation`."""
        none = ops.zeros(())
        return Total(list(gradients), weight, none, none + rows, none, ops.ones((), "bool"))

    def keep(self, total: Total) -> None:
        """Stores nothing."""

    def terms(self, total: Total, norm: Tensor, rows: int) -> dict[str, Tensor]:
        """Returns nothing to log."""
        del total, norm, rows
        return {}


class Accumulation:
    """Sums over the batches since the last update.

    Args:
        batches: examples so far, int32 -> batches of the next update, int32.

    Attributes:
        copies: numbers stored per weight.
        metrics: names of the logged metrics.
        variables: the sums: a copy of the weights, and four scalars.
    """

    copies = 1
    metrics = (NOISE_SCALE,)

    def __init__(self, batches: Callable[[Tensor], Tensor]) -> None:
        self.batches = batches
        self.variables: list[Any] = []

    def build(self, weights: Sequence[Any]) -> None:
        """Makes the variables."""
        with keras.name_scope("accumulation"):
            self.sums = [
                _zeros(w.shape, "float32", w.path.replace("/", "_"), getattr(w, "_layout", None))
                for w in weights
            ]
            self.weight, self.squares = (_zeros((), "float32", n) for n in ("weight", "squares"))
            self.count, self.examples = (_zeros((), "int32", n) for n in ("batches", "examples"))
        scalars = [self.weight, self.count, self.examples, self.squares]
        self.variables = [*self.sums, *scalars]

    def add(self, gradients: Sequence[Tensor], weight: Tensor, rows: int) -> Total:
        """Returns the sums with those of one more batch.

        Args:
            gradients: of the sum of its losses.
            weight: of its losses.
            rows: its examples.
        """
        mean = ops.square(ops.divide_no_nan(1.0, weight))
        floats = [ops.cast(g, "float32") for g in gradients]
        squares = mean * sum(ops.sum(ops.square(g)) for g in floats)
        batches = self.count + 1
        return Total(
            gradients=[s + g for s, g in zip(self.sums, floats, strict=True)],
            weight=self.weight + weight,
            batches=batches,
            examples=self.examples + rows,
            squares=self.squares + squares,
            is_due=batches >= self.batches(self.examples.value),
        )

    def keep(self, total: Total) -> None:
        """Stores the sums, or resets them after an update."""
        values = [*total.gradients, total.weight, total.batches, total.examples, total.squares]
        for variable, value in zip(self.variables, values, strict=True):
            begun = value if variable is self.examples else ops.zeros_like(value)
            variable.assign(ops.where(total.is_due, begun, value))

    def terms(self, total: Total, norm: Tensor, rows: int) -> dict[str, Tensor]:
        """Returns the metrics, name -> float32 [2]; arguments as of `noise_scale`."""
        return {NOISE_SCALE: noise_scale(total, norm, rows)}


def noise_scale(total: Total, norm: Tensor, rows: int) -> Tensor:
    """Returns numerator and denominator of the gradient noise scale, float32 [2], 0 if not due.

    With k batches of b examples each, `small` the mean of their squared gradient norms and `large`
    the squared norm of their mean gradient, these estimates are unbiased:

        |G|^2 = (k large - small) / (k - 1)        tr(C) = b k (small - large) / (k - 1)

    The scale tr(C) / |G|^2 is in examples: larger batches help below it and hardly above it. It is
    computed as a ratio of sums over many updates, not as a mean of ratios.

    Args:
        total: at an update.
        norm: of its mean gradient.
        rows: b.

    Source: McCandlish et al. 2018, https://arxiv.org/abs/1812.06162, appendix A.1.
    """
    k = ops.cast(total.batches, "float32")
    small, large, others = total.squares / k, ops.square(norm), ops.maximum(k - 1.0, 1.0)
    signal, noise = (k * large - small) / others, rows * k * (small - large) / others
    is_measured = ops.logical_and(total.is_due, k > 1)
    return ops.where(is_measured, ops.stack([noise, signal]), 0.0)


def _zeros(shape: Any, dtype: str, name: str, layout: Any = None) -> Any:
    """Returns a variable of zeros that no layer owns."""
    return keras.Variable(
        "zeros", shape=shape, trainable=False, dtype=dtype, name=name, layout=layout
    )
