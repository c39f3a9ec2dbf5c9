"""UDA: labelled rows, and unlabelled rows whose augmented copies should get the same label."""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import keras
from keras import ops

from lm.nn.branch import Factory, make
from lm.objectives.cross_entropy import at
from lm.objectives.labels import labels_and_weights, model_rows
from lm.objectives.objective import Ratio, RowScores, built_by_call, no_carry
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt, Range, UnitFloat
from lm.types import Features, Tensor

Annealing: TypeAlias = Callable[[Tensor], Tensor]
"""Progress t/T of the training, float32 -> value of the schedule, from 0 to 1."""

Temperature = Annotated[float, Range(0.01)]


@part
def logarithmic(progress: Tensor) -> Tensor:
    """`1 - exp(-5 t/T)`: releases most labels early, for many labelled examples."""
    return 1 - ops.exp(-5 * progress)


@part
def linear(progress: Tensor) -> Tensor:
    """`t/T`."""
    return progress


@part
def exponential(progress: Tensor) -> Tensor:
    """`exp(5 (t/T - 1))`: releases labels late, for few labelled examples, which overfit soon."""
    return ops.exp(5 * (progress - 1))


@part
def constant(progress: Tensor) -> Tensor:
    """1: uses every label from the first step on."""
    return ops.ones_like(progress)


@part
class Consistency(keras.Model):
    """`Σ m·loss / max(Σ m, 1) + λ · mean over u of c(u) · KL(p_τ(·|u) || p(·|û))`.

    The first term is the mean over labelled rows, as in `Labels`. Training signal annealing omits
    rows whose label the model predicts with more confidence than the schedule allows:

        m = [p(y|x) ≤ η],  η = α(t/T)·(1 - 1/L) + 1/L

    The second is over unlabelled rows u and their augmented copies û. The target p_τ, the
    prediction for u at temperature τ, has no gradient; c(u) = [max p(·|u) > β], without τ.

    Features: those of `Labels`; in training each row holds 1 + 2k rows of the model, [B, 1 + 2k,
    T]: the labelled one, k unlabelled ones, and their copies in the same order; and `step` int32
    [B], the number t of the batch. Rows [B, T], as in evaluation, have only the loss of `Labels`.

    Also reports `consistency`, the second mean, `confident_share` of the unlabelled rows, and
    `annealed_share`, the fraction of labelled rows that are omitted.

    Args:
        labels: factory of the objective of the labelled rows, `labels.Labels` of classes.
        annealing: α: `logarithmic`, `linear`, `exponential`, or `constant` for none.
        steps: T, the steps of the training.
        consistency_weight: λ (paper: 1).
        temperature: τ (paper: 1 and 0.85 for texts, 0.4 for images).
        min_confidence: β (paper: 0 for texts, 0.8 for images).

    Source: Xie et al. 2020 (https://arxiv.org/abs/1904.12848), section 2 and appendix A, and its
    release, which uses the divergence instead of the cross entropy; the gradient is the same.
    """

    build, initial_carry = built_by_call, no_carry

    def __init__(
        self,
        *,
        labels: Factory,
        annealing: Annealing,
        steps: PositiveInt,
        consistency_weight: NonNegativeFloat = 1.0,
        temperature: Temperature = 1.0,
        min_confidence: UnitFloat = 0.0,
        name: str = "consistency",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.labels = make(labels, "labels")
        self.model = self.labels.model
        self.annealing = annealing
        self.steps = steps
        self.consistency_weight = consistency_weight
        self.temperature = temperature
        self.min_confidence = min_confidence

    def call(self, features: Features) -> Tensor:
        return self.model(model_rows(self.model.sides, features))

    def terms(self, features: Features, outputs: Any) -> dict[str, Ratio]:
        """Returns the sums to minimise ("loss") and to report, each a `Ratio`."""
        if "step" not in features:
            return self.labels.terms(features, outputs)
        logits = ops.reshape(outputs, (features["step"].shape[0], -1, outputs.shape[-1]))
        copies = (logits.shape[1] - 1) // 2
        labelled, original, augmented = ops.split(logits, (1, 1 + copies), axis=1)  # [B, k, L]

        _, weights = labels_and_weights(features)
        kept = weights * self.is_kept(features, labelled)
        labelled = labelled[:, 0]
        learned = self.labels.terms({**features, "label_weights": kept}, labelled)["loss"]
        consistency, confident = self.consistency(original, augmented)
        means = (
            learned.total / ops.maximum(learned.weight, 1.0)
            + self.consistency_weight * consistency.total / consistency.weight
        )
        every = self.labels.terms(features, labelled)
        weight = every["loss"].weight
        left_out = Ratio(ops.sum(weights - kept), ops.sum(weights))
        return {
            **every,
            # The sum of two means, as a mean over the weight of all labels.
            "loss": Ratio(means * weight, weight),
            "consistency": consistency,
            "confident_share": confident,
            "annealed_share": left_out,
        }

    def is_kept(self, features: Features, logits: Tensor) -> Tensor:
        """Returns m of the labelled rows, float32 [B, 1], of logits [B, 1, L]."""
        least = 1 / logits.shape[-1]
        progress = ops.cast(features["step"], "float32")[:, None] / self.steps
        threshold = self.annealing(ops.minimum(progress, 1.0)) * (1 - least) + least
        p = ops.softmax(ops.cast(logits, "float32"))
        return ops.cast(at(p, features["labels"]) <= threshold, "float32")

    def consistency(self, original: Tensor, augmented: Tensor) -> tuple[Ratio, Ratio]:
        """Returns c · KL(p_τ || p) and c, over all pairs of logits [B, k, L]."""
        original = ops.stop_gradient(ops.cast(original, "float32"))
        target = ops.log_softmax(original / self.temperature)
        given = ops.log_softmax(ops.cast(augmented, "float32"))
        divergence = ops.sum(ops.exp(target) * (target - given), axis=-1)  # [B, k]
        is_confident = ops.max(ops.softmax(original), axis=-1) > self.min_confidence
        is_confident = ops.cast(is_confident, "float32")
        count = ops.sum(ops.ones_like(is_confident))
        return (
            Ratio(ops.sum(is_confident * divergence), count),
            Ratio(ops.sum(is_confident), count),
        )

    def scores(self, features: Features, outputs: Any) -> RowScores:
        """Returns the sums of every labelled row, as `Labels` does."""
        return self.labels.scores(features, outputs)

    def predictions(self, features: Features, outputs: Any) -> Tensor:
        """Returns the probability of each label, as `Labels` does."""
        return self.labels.predictions(features, outputs)
