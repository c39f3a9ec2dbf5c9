"""Multi-label classification: any number of labels per row, each predicted independently."""

from typing import Any

import keras
from keras import ops

from lm.nn.branch import Factory, make
from lm.objectives.labels import labels_and_weights, model_rows
from lm.objectives.objective import Ratio, RowScores, built_by_call, no_carry
from lm.parts import part
from lm.types import Features, Tensor


@part
class LabelSets(keras.Model):
    """`-Σ w·(y·log σ(z) + (1 - y)·log(1 - σ(z))) / Σ w` over the labels of every row.

    Features: those of the model, `labels` float32 [B, L], 1 for the labels of a row and 0 for the
    others, and `label_weights` float32 [B, L].

    Args:
        model: factory of a model with a `LabelHead` of L scores.
    """

    build, initial_carry = built_by_call, no_carry

    def __init__(self, *, model: Factory, name: str = "label_sets") -> None:
        super().__init__(name=name, autocast=False)
        self.model = make(model)

    def call(self, features: Features) -> Tensor:
        return self.model(model_rows(self.model.sides, features))

    def terms(self, features: Features, outputs: Any) -> dict[str, Ratio]:
        """Returns the sums to minimise ("loss") and to report, each a `Ratio`."""
        rows = self.scores(features, outputs)
        loss, correct, weight = (
            ops.sum(x) for x in (-rows.log_likelihood, rows.correct, rows.weight)
        )
        return {"loss": Ratio(loss, weight), "accuracy": Ratio(correct, weight)}

    def scores(self, features: Features, outputs: Any) -> RowScores:
        """Returns the sums of every row, float32 [B]: log-likelihood, correct, weight."""
        labels, weights = labels_and_weights(features)
        sign = 2 * ops.cast(labels, "float32") - 1
        signed = sign * ops.cast(outputs, "float32")  # log p of a right label is log σ(z)
        correct = ops.cast(signed > 0, "float32")
        return RowScores(
            log_likelihood=-ops.sum(ops.softplus(-signed) * weights, axis=-1),
            correct=ops.sum(correct * weights, axis=-1),
            weight=ops.sum(weights, axis=-1),
        )

    def predictions(self, features: Features, outputs: Any) -> Tensor:
        """Returns the probability of each label, float32 [B, 1, L]."""
        del features
        return ops.sigmoid(ops.cast(outputs, "float32"))[:, None]
