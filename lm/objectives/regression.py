"""Regression of scores, such as the similarity of two sentences, by squared error."""

from typing import Any

import keras
from keras import ops

from lm.nn.branch import Factory, make
from lm.objectives.labels import labels_and_weights, model_rows
from lm.objectives.objective import Ratio, RowScores, built_by_call, no_carry
from lm.parts import part
from lm.types import Features, Tensor


@part
class Regression(keras.Model):
    """`Σ w·(y - ŷ)² / Σ w`.

    Features: those of the model, `labels` float32 [B, 1] and `label_weights` float32 [B, 1].

    Args:
        model: factory of a model with a `LabelHead` of one score.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805), its release for STS-B.
    """

    build, initial_carry = built_by_call, no_carry

    def __init__(self, *, model: Factory, name: str = "regression") -> None:
        super().__init__(name=name, autocast=False)
        self.model = make(model)

    def call(self, features: Features) -> Tensor:
        return self.model(model_rows(self.model.sides, features))

    def terms(self, features: Features, outputs: Any) -> dict[str, Ratio]:
        """Returns the sums to minimise ("loss") and to report, each a `Ratio`."""
        labels, weights = labels_and_weights(features)
        error = ops.cast(outputs, "float32") - labels  # [B, 1]
        weight = ops.sum(weights)
        return {
            "loss": Ratio(ops.sum(ops.square(error) * weights), weight),
            "absolute_error": Ratio(ops.sum(ops.abs(error) * weights), weight),
        }

    def scores(self, features: Features, outputs: Any) -> RowScores:
        """Returns the sums of every row, float32 [B].

        The log-likelihood is that of a normal distribution of variance 1/2 around ŷ without its
        constant, i.e. minus the loss. Scores within half a unit count as correct.
        """
        labels, weights = labels_and_weights(features)
        error = ops.cast(outputs, "float32") - labels
        correct = ops.cast(ops.abs(error) <= 0.5, "float32")  # noqa: PLR2004
        return RowScores(
            log_likelihood=-ops.sum(ops.square(error) * weights, axis=-1),
            correct=ops.sum(correct * weights, axis=-1),
            weight=ops.sum(weights, axis=-1),
        )

    def predictions(self, features: Features, outputs: Any) -> Tensor:
        """Returns the scores ŷ, float32 [B, 1]."""
        del features
        return ops.cast(outputs, "float32")
