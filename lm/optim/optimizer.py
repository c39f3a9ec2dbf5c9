"""A Keras update rule whose updates can be resumed and skipped exactly; used by the engines."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
from keras import ops

from lm.errors import UserError
from lm.optim.accumulation import Accumulation, EachBatch
from lm.optim.averages import Average, NonMonotonic
from lm.optim.sparse import SparseRule, Touched
from lm.ranges import NonNegativeFloat
from lm.types import Tensor

# Norm scales, biases and embeddings, by their paths.
UNDECAYED = r"norm|scale|bias|beta|gamma|embed|(^|/)position"
NOTHING = r"(?!)"


class LayerRates(Protocol):
    """Learning rates that differ by weight, such as `lm.optim.layer_rates.ByDepth`."""

    def __call__(self, paths: Sequence[str], step: Tensor) -> Sequence[Any]:
        """Returns the factor of each weight's learning rate at update `step`."""


class Optimizer:
    """w <- rule(w, clip(g)), with weight decay by path and an optional moving average.

    Optionally with noise after clipping (`gradient_noise.noisy`) and accumulation of several
    batches (`batch_schedule.scheduled`). With layer rates r, w <- w + r (rule(w, clip(g)) - w), so
    they scale weight decay too.

    The rule's own clipping, averaging and accumulation are not used; they are done here or in the
    engine, where a skipped update can leave everything unchanged.

    Args:
        rule: a Keras optimizer with a fixed name; built here and owned by this object.
        clip_norm: largest global norm of the gradient; None does not clip.
        average: decay of the moving average of the weights (0.999 ...) used for evaluation, or
            one of `lm.optim.averages`; None keeps no average.
        undecayed: regular expression; a variable whose path it matches is never decayed.
        frozen: regular expression; weights whose paths match are not trained and have neither
            gradients nor slots.
        layer_rates: factory of `LayerRates`; None is 1 for every weight.
        sparse: the same rule for the rows of sparse tables; None has none.

    Example:
        >>> rule = keras.optimizers.AdamW(1e-3, weight_decay=0.1, name="adamw")
        >>> Optimizer(rule=rule, clip_norm=1.0).clip_norm
        1.0
    """

    def __init__(
        self,
        *,
        rule: keras.optimizers.Optimizer,
        clip_norm: NonNegativeFloat | None = None,
        average: Average | None = None,
        undecayed: str = UNDECAYED,
        frozen: str | None = None,
        layer_rates: Callable[[], LayerRates] | None = None,
        sparse: SparseRule | None = None,
    ) -> None:
        self.sparse = sparse
        self.rule = rule
        self.clip_norm = clip_norm
        self.average = average
        self.triggers = [average] if isinstance(average, NonMonotonic) else []
        self.undecayed = undecayed
        self.frozen = frozen
        self.layer_rates = None if layer_rates is None else layer_rates()
        self.noise: Callable[[Sequence[Tensor], Tensor], Sequence[Tensor]] | None = None
        self.accumulation: EachBatch | Accumulation = EachBatch()
        self.weights: list[Any] = []
        self.averages: list[Any] = []

    def freeze(self, weights: Sequence[Any]) -> None:
        """Makes the weights that `frozen` names untrainable, before `build`.

        Raises:
            UserError: it names none of them, or all.
        """
        if self.frozen is None:
            return
        found = [weight for weight in weights if re.search(self.frozen, weight.path)]
        if len(found) in (0, len(weights)):
            raise UserError(
                f"frozen = {self.frozen!r} matches {'every' if found else 'no'} weight; paths are "
                f"like {weights[0].path}, {weights[-1].path}"
            )
        for weight in found:
            weight.trainable = False

    def build(self, weights: Sequence[Any]) -> None:
        """Makes the slots, and the averages as copies of the weights; called once."""
        self.weights = list(weights)
        undecayed = [w for w in self.weights if re.search(self.undecayed, w.path.lower())]
        self.rule.exclude_from_weight_decay(var_list=undecayed)
        self.rule.build(self.weights)
        if self.average is not None:
            self.averages = [_copy(w) for w in self.weights]
        for trigger in self.triggers:
            trigger.build()
        self.accumulation.build(self.weights)

    def restart_averages(self) -> None:
        """Sets the averages to the weights, after these were assigned."""
        for mean, weight in zip(self.averages, self.weights, strict=False):
            mean.assign(ops.copy(weight.value))

    @property
    def slots(self) -> list[Any]:
        """The count of updates, the rate if fixed, moments, sums over batches, losses seen."""
        seen = (variable for trigger in self.triggers for variable in trigger.variables)
        return [*self.rule.variables, *self.accumulation.variables, *seen]

    @property
    def copies(self) -> int:
        """Numbers stored per weight besides the moments."""
        return self.accumulation.copies + (self.average is not None)

    @property
    def variables(self) -> list[Any]:
        """Slots and averages, the optimizer's part of the training state."""
        return [*self.slots, *self.averages]

    @property
    def learning_rate(self) -> Tensor:
        """The rate of the next update, a float32 scalar."""
        return ops.cast(self.rule.learning_rate, "float32")

    def apply(self, gradients: Sequence[Tensor], norm: Tensor) -> None:
        """Updates weights, slots and averages.

        Args:
            gradients: one per weight, in the order of `build`.
            norm: their global norm.
        """
        decay, clipped = self._decay(), [self._clipped(g, norm) for g in gradients]
        self._update(self.noise(clipped, self.rule.iterations.value) if self.noise else clipped)
        for mean, weight in zip(self.averages, self.weights, strict=False):
            mean.assign(mean + (1.0 - decay) * (weight - mean))

    def evaluated(self, loss: float) -> bool:
        """Passes on the loss of an evaluation; returns whether the mean of the weights starts.

        The Keras variables must hold the state.
        """
        update = int(self.rule.iterations)
        return any([trigger.add(loss, update) for trigger in self.triggers])

    def rows_after(self, touched: Touched, norm: Tensor, rate: Tensor) -> list[Tensor]:
        """Returns the rows of a sparse table and of its slots after one update, [K, D] each.

        Args:
            touched: the rows before it, and their gradient, summed over repetitions.
            norm: the global norm of all gradients.
            rate: of this update.
        """
        assert self.sparse is not None
        table, *slots = touched.values
        return self.sparse(table, slots, self._clipped(touched.gradient, norm), rate)

    def _decay(self) -> Any:
        """Returns the decay of the averages after the coming update."""
        return self.average(self.rule.iterations.value) if callable(self.average) else self.average

    def _clipped(self, gradient: Tensor, norm: Tensor) -> Tensor:
        """Returns a gradient, scaled down if the global norm is too large."""
        if self.clip_norm is None:
            return gradient
        scale = self.clip_norm / ops.maximum(norm, self.clip_norm)
        return gradient * ops.cast(scale, gradient.dtype)

    def _update(self, gradients: Sequence[Tensor]) -> None:
        """Applies the rule, each weight at its own rate."""
        if not gradients:  # all trained variables are sparse tables; Keras would not count updates
            self.rule.iterations.assign_add(1)
            return
        if self.layer_rates is None:
            self.rule.apply(gradients)
            return
        before = [ops.copy(weight) for weight in self.weights]
        paths = [weight.path for weight in self.weights]
        rates = self.layer_rates(paths, self.rule.iterations.value)
        self.rule.apply(gradients)
        for weight, old, rate in zip(self.weights, before, rates, strict=True):
            weight.assign(old + ops.cast(rate, weight.dtype) * (weight - old))


def global_norm(squares: Sequence[Tensor]) -> Tensor:
    """Returns the global norm of gradients from their sums of squares."""
    return ops.sqrt(sum(squares))


def squares(gradients: Sequence[Tensor]) -> list[Tensor]:
    """Returns the sum of squares of each gradient, in float32."""
    return [_sum(ops.square(ops.cast(g, "float32"))) for g in gradients]


def _sum(x: Tensor) -> Tensor:
    """Returns the sum of a tensor; of a matrix by a product with ones.

    XLA on a CPU would sum a matrix in windows of 32 x 32, two to three times slower.
    """
    if len(x.shape) > 1:
        x = ops.matmul(x, ops.ones((x.shape[-1], 1), x.dtype))
    return ops.sum(x)


def _copy(weight: Any) -> Any:
    """Returns a new variable with the weight's value."""
    with keras.name_scope("average"):
        name = weight.path.replace("/", "_")
        return keras.Variable(
            ops.copy(weight),
            trainable=False,
            dtype=weight.dtype,
            name=name,
            # As Keras does for slots: on a mesh, a copy has the layout of its weight.
            layout=getattr(weight, "_layout", None),
        )
