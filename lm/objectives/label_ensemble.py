"""An ensemble of classifiers as one objective: the mean of their predictions."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from lm.objectives.objective import Ratio, RowScores, built_by_call, no_carry
from lm.types import Features, Tensor


class LabelEnsemble(keras.Model):
    """`1/N Σ_i p_i`, where p_i is the prediction of objective i: label probabilities, or a score.

    The log-likelihood of a row is that of the mean probability of its labels,
    `log (1/N Σ_i p_i(labels))`. For predictions and scores only, not for training.

    Args:
        objectives: built, with `predictions` of one shape.

    Attributes:
        model: that of the first.

    Source: Sutskever et al. 2014 (https://arxiv.org/abs/1409.3215), section 3.6, for tokens.
    """

    build, initial_carry = built_by_call, no_carry

    def __init__(self, objectives: Sequence[Any], *, name: str = "label_ensemble") -> None:
        super().__init__(name=name, autocast=False)
        self.objectives = list(objectives)
        self.model = self.objectives[0].model

    def call(self, features: Features) -> list[Any]:
        """Returns the outputs of every objective."""
        return [objective(features) for objective in self.objectives]

    def terms(self, features: Features, outputs: Any) -> dict[str, Ratio]:
        """Returns the sums of the batch."""
        rows = self.scores(features, outputs)
        return {"loss": Ratio(-ops.sum(rows.log_likelihood), ops.sum(rows.weight))}

    def scores(self, features: Features, outputs: Any) -> RowScores:
        """Returns the sums of every row, float32 [B]; `correct` is the mean over the models."""
        pairs = zip(self.objectives, outputs, strict=True)
        rows = [objective.scores(features, found) for objective, found in pairs]
        log_p = ops.stack([row.log_likelihood for row in rows])  # [N, B]
        return RowScores(
            log_likelihood=ops.logsumexp(log_p, axis=0) - ops.log(float(len(rows))),
            correct=ops.mean(ops.stack([row.correct for row in rows]), axis=0),
            weight=rows[0].weight,
        )

    def predictions(self, features: Features, outputs: Any) -> Tensor:
        """Returns the mean of the predictions, float32 [B, ...]."""
        pairs = zip(self.objectives, outputs, strict=True)
        found = [objective.predictions(features, given) for objective, given in pairs]
        return ops.mean(ops.stack(found), axis=0)
