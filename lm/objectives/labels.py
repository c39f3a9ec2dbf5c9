"""Classification of rows, tokens, choices or positions by cross entropy.

A function (features, outputs) → logits [B, N, C] defines the candidates of each label:

    classes    L classes, for a row (N = 1) or for every token (N = T)
    choices    the C choices of a row; each is a separate row for the model
    positions  the T positions of a row, for the start and the end of a span (N = 2)
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
from keras import ops

from lm.nn.branch import Factory, make
from lm.objectives.cross_entropy import at
from lm.objectives.objective import Ratio, RowScores, built_by_call, no_carry
from lm.parts import part
from lm.ranges import NonNegativeFloat, UnitFloat
from lm.types import Features, Tensor

Candidates: TypeAlias = Callable[[Features, Tensor], Tensor]
"""Features and the model's outputs -> logits [B, N, C]."""

MISSING = -1e9  # the logit of a missing candidate: finite, so that rows of padding are not NaN


@part
def classes(features: Features, outputs: Tensor) -> Tensor:
    """One of L labels for the row or for every token: [B, L] or [B, T, L] → [B, N, L]."""
    rows, count = features["labels"].shape
    return ops.reshape(outputs, (rows, count, outputs.shape[-1]))


@part
def choices(features: Features, outputs: Tensor) -> Tensor:
    """One of the row's C choices, by the score of each: [B·C, 1] → [B, 1, C].

    A row may have fewer choices: one that is all padding is not a candidate.
    """
    is_there = features["encoder_segment_ids"][..., 0] > 0  # [B, C]
    scores = ops.reshape(outputs, is_there.shape)
    return ops.where(is_there, scores, MISSING)[:, None]


@part
def positions(features: Features, outputs: Tensor) -> Tensor:
    """One of the row's positions for the start and one for the end: [B, T, 2] → [B, 2, T].

    Position 0 means that there is no answer; padding is not a candidate.
    """
    is_real = features["encoder_segment_ids"] > 0  # [B, T]
    return ops.where(is_real[:, None], ops.transpose(outputs, (0, 2, 1)), MISSING)


@part
class Labels(keras.Model):
    """`Σ w·c[y]·(-log p(y)) / Σ w·c[y]` over the labels y, p = softmax over their candidates.

    Features: those of the model, `labels` int32 [B, N], and `label_weights` float32 [B, N], 0 where
    there is no label. For multiple choice the model's features are [B, C, T], read as [B·C, T].

    Args:
        model: factory of a model with a `LabelHead`.
        candidates: `classes`, `choices` or `positions`.
        class_weights: c, one per class, to balance classes; None is 1 for all.
        label_smoothing: mass ε spread evenly over the candidates, (1 - ε)·one-hot + ε/C.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805), section 4.
    """

    build, initial_carry = built_by_call, no_carry

    def __init__(
        self,
        *,
        model: Factory,
        candidates: Candidates,
        class_weights: Sequence[NonNegativeFloat] | None = None,
        label_smoothing: UnitFloat = 0.0,
        name: str = "labels",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.model = make(model)
        self.candidates = candidates
        self.class_weights = None if class_weights is None else list(class_weights)
        self.label_smoothing = label_smoothing

    def call(self, features: Features) -> Tensor:
        return self.model(model_rows(self.model.sides, features))

    def terms(self, features: Features, outputs: Any) -> dict[str, Ratio]:
        """Returns the sums to minimise ("loss") and to report, each a `Ratio`."""
        labels, weights = labels_and_weights(features)
        log_p = self.log_probabilities(features, outputs)
        loss, cross_entropy, correct = self.losses(log_p, labels)
        weighted = weights * self.weights_of(labels)
        return {
            "loss": Ratio(ops.sum(loss * weighted), ops.sum(weighted)),
            "cross_entropy": Ratio(ops.sum(cross_entropy * weights), ops.sum(weights)),
            "accuracy": Ratio(ops.sum(correct * weights), ops.sum(weights)),
        }

    def scores(self, features: Features, outputs: Any) -> RowScores:
        """Returns the sums of every row, float32 [B]: log-likelihood, correct, weight."""
        labels, weights = labels_and_weights(features)
        _, cross_entropy, correct = self.losses(self.log_probabilities(features, outputs), labels)
        return RowScores(
            log_likelihood=-ops.sum(cross_entropy * weights, axis=-1),
            correct=ops.sum(correct * weights, axis=-1),
            weight=ops.sum(weights, axis=-1),
        )

    def predictions(self, features: Features, outputs: Any) -> Tensor:
        """Returns the probability of each candidate, float32 [B, N, C]."""
        return ops.exp(self.log_probabilities(features, outputs))

    def log_probabilities(self, features: Features, outputs: Tensor) -> Tensor:
        """Returns log p of each candidate, float32 [B, N, C]."""
        logits = self.candidates(features, ops.cast(outputs, "float32"))
        return logits - ops.logsumexp(logits, axis=-1, keepdims=True)

    def losses(self, log_p: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns loss, cross entropy and whether the label is the most probable, [B, N] each."""
        log_likelihood = at(log_p, labels)
        correct = ops.cast(log_likelihood >= ops.max(log_p, axis=-1), "float32")
        is_there = ops.cast(log_p > MISSING / 2, "float32")
        smooth = -ops.sum(log_p * is_there, axis=-1) / ops.sum(is_there, axis=-1)
        loss = -(1 - self.label_smoothing) * log_likelihood + self.label_smoothing * smooth
        return loss, -log_likelihood, correct

    def weights_of(self, labels: Tensor) -> Tensor:
        """Returns the weight of the class of each label, [B, N]."""
        if self.class_weights is None:
            return ops.ones_like(labels, dtype="float32")
        return ops.take(ops.convert_to_tensor(self.class_weights, "float32"), labels, axis=0)


def model_rows(sides: Sequence[str], features: Features) -> dict[str, Tensor]:
    """Returns the features of a model, choices as rows of their own: [B, C, T] → [B·C, T]."""
    return {
        name: ops.reshape(x, (-1, x.shape[-1]))
        for name, x in features.items()
        if name.startswith(tuple(sides))
    }


def labels_and_weights(features: Features) -> tuple[Tensor, Tensor]:
    """Returns labels, int32 or float32 [B, N], and weights, float32 [B, N]."""
    return features["labels"], ops.cast(features["label_weights"], "float32")
