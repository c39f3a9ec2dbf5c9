"""Next-token, span and masked-token prediction: cross entropy at weighted positions."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from lm.nn.branch import Factory, make
from lm.nn.heads import Factors
from lm.objectives.cross_entropy import (
    Likelihood,
    Target,
    flat,
    likelihood,
    likelihood_by_parts,
    sums,
)
from lm.objectives.objective import Ratio, RowScores
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt, UnitFloat


@part
class TokenPrediction(keras.Model):
    """`Σ w · (-log p(target) + z_loss · (log Z)²) / Σ w` over the positions of a batch.

    Features: those of the model, and on its output side (`decoder_…`, or `encoder_…` where there
    is no decoder) `…_target_tokens` and `…_loss_weights`.

    Args:
        model: factory of the model whose outputs are logits [B, T, V].
        label_smoothing: mass ε spread evenly over the vocabulary, (1 - ε)·one-hot + ε/V.
        z_loss: weight of (log Z)², which keeps the softmax normaliser near 1 (T5: 1e-4).
        chunks: parts in which logits are made, used and dropped, for large vocabularies; None
            makes them whole.

    Source: Szegedy et al. 2016 (https://arxiv.org/abs/1512.00567) for label smoothing;
    z loss: Mesh TensorFlow, Shazeer et al. 2018 (https://arxiv.org/abs/1811.02084).
    """

    def __init__(
        self,
        *,
        model: Factory,
        label_smoothing: UnitFloat = 0.0,
        z_loss: NonNegativeFloat = 0.0,
        chunks: PositiveInt | None = None,
        name: str = "token_prediction",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.model = make(model)
        self.label_smoothing = label_smoothing
        self.z_loss = z_loss
        self.chunks: Any = chunks

    def build(self, features_shape: Any) -> None:
        """Leaves it to the model."""
        del features_shape

    def call(self, features: Mapping[str, Any]) -> Any:
        if self.chunks is None or not self.model.built:
            outputs = self.model(features)  # makes the weights, under the names they always have
        return outputs if self.chunks is None else self.model.factors(features)

    def terms(self, features: Mapping[str, Any], outputs: Any) -> dict[str, Ratio]:
        """Returns the sums to minimise ("loss") and to report, each a `Ratio`."""
        targets, weights = targets_and_weights(features)
        sums = self.sums if self.chunks is None else self.sums_by_parts
        weight = ops.sum(weights)
        names = ("loss", "cross_entropy", "accuracy")
        totals = sums(outputs, targets, weights)
        return {name: Ratio(total, weight) for name, total in zip(names, totals, strict=True)}

    def sums(self, logits: Any, targets: Any, weights: Any) -> tuple[Any, Any, Any]:
        """Returns Σ w·loss, Σ w·cross entropy and Σ w·correct of logits [B, T, V]."""
        logits = ops.cast(logits, "float32")
        log_prob, correct, log_z = likelihood(logits, targets)  # [B, T]
        cross_entropy = -log_prob
        smooth = log_z - ops.mean(logits, axis=-1) if self.label_smoothing else cross_entropy
        loss = (1 - self.label_smoothing) * cross_entropy + self.label_smoothing * smooth
        z_loss = self.z_loss * ops.square(log_z)
        found = (loss + z_loss, cross_entropy, correct)
        return tuple(ops.sum(value * weights) for value in found)

    def sums_by_parts(self, factors: Factors, targets: Any, weights: Any) -> tuple[Any, Any, Any]:
        """Returns the same without ever holding all logits."""
        target = Target(ops.reshape(targets, (-1,)), ops.reshape(weights, (-1,)))
        found = sums(
            flat(factors),
            target,
            chunks=self.chunks,
            label_smoothing=self.label_smoothing,
            z_loss=self.z_loss,
        )
        return found[0], found[1], found[2]

    def scores(self, features: Mapping[str, Any], outputs: Any) -> RowScores:
        """Returns the sums of every row, float32 [B]: log-likelihood, correct, weight."""
        targets, weights = targets_and_weights(features)
        found = self.likelihood(outputs, targets)
        return RowScores(
            log_likelihood=ops.sum(found.log_prob * weights, axis=-1),
            correct=ops.sum(found.correct * weights, axis=-1),
            weight=ops.sum(weights, axis=-1),
        )

    def likelihood(self, outputs: Any, targets: Any) -> Likelihood:
        """Returns how probable the targets are, [B, T]."""
        if self.chunks is None:
            return likelihood(ops.cast(outputs, "float32"), targets)
        tokens = ops.reshape(targets, (-1,))
        found = likelihood_by_parts(flat(outputs), tokens, chunks=self.chunks)
        return Likelihood(*(ops.reshape(x, targets.shape) for x in found))


def targets_and_weights(features: Mapping[str, Any]) -> tuple[Any, Any]:
    """Returns the targets, int32 [B, T], and their weights, float32 [B, T]."""
    side = "decoder" if "decoder_target_tokens" in features else "encoder"
    weights = ops.cast(features[f"{side}_loss_weights"], "float32")
    return features[f"{side}_target_tokens"], weights
