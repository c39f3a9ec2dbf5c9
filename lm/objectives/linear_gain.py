"""Linear gain: predict the label at every position, with a weight that grows along the row."""

from typing import Any

import keras
from keras import ops

from lm.nn import label_head
from lm.nn.branch import Factory, make
from lm.objectives.cross_entropy import at
from lm.objectives.labels import Labels, labels_and_weights, model_rows
from lm.objectives.objective import Ratio, RowScores, built_by_call, no_carry
from lm.parts import part
from lm.types import Features, Tensor


@part
class LinearGain(keras.Model):
    """`Σ_t (t/T) · (-log p_t(y)) / Σ_t t/T` over the positions t = 1 … T of a row of label y.

    Predictions, and all reported values but the loss, are those of the last position.

    Features: those of `labels.Labels` with one label for each row.

    Args:
        model: factory of a model with a `LabelHead` whose summary is `label_head.every`.

    Source: Dai, Le 2015 (https://arxiv.org/abs/1511.01432), section 3: the weight of the loss grows
    linearly from 0 to 1.
    """

    build, initial_carry = built_by_call, no_carry

    def __init__(self, *, model: Factory, name: str = "linear_gain") -> None:
        super().__init__(name=name, autocast=False)
        self.model = make(model)
        self.labels = Labels(model=lambda name: self.model, candidates=last_position, name="labels")

    def call(self, features: Features) -> Tensor:
        return self.model(model_rows(self.model.sides, features))

    def terms(self, features: Features, outputs: Tensor) -> dict[str, Ratio]:
        """Returns the sums to minimise ("loss") and to report, each a `Ratio`."""
        labels, weights = labels_and_weights(features)  # [B, 1]
        logits = ops.cast(outputs, "float32")  # [B, T, L]
        log_p = logits - ops.logsumexp(logits, axis=-1, keepdims=True)
        loss = -at(log_p, ops.broadcast_to(labels, log_p.shape[:2]))  # [B, T]
        gain = weights * gains(segments_of(features, outputs))
        loss = Ratio(ops.sum(gain * loss), ops.sum(gain))
        return self.labels.terms(features, outputs) | {"loss": loss}

    def scores(self, features: Features, outputs: Any) -> RowScores:
        """Returns the sums of every row, those of the last position."""
        return self.labels.scores(features, outputs)

    def predictions(self, features: Features, outputs: Any) -> Tensor:
        """Returns the probability of each label at the last position, float32 [B, 1, L]."""
        return self.labels.predictions(features, outputs)


@part
def last_position(features: Features, outputs: Tensor) -> Tensor:
    """One of L labels for the row, by its last token: [B, T, L] → [B, 1, L]."""
    return label_head.last(outputs, segments_of(features, outputs))[:, None]


def segments_of(features: Features, outputs: Tensor) -> Tensor:
    """Returns the segments of the side that a model of one side reads, int32 [B, T]."""
    found = (x for name, x in features.items() if name.endswith("_segment_ids"))
    return next(found, ops.ones_like(outputs[..., 0], dtype="int32"))


def gains(segments: Tensor) -> Tensor:
    """Returns t/T at each token and 0 at padding, float32 [B, T].

    >>> print(np.asarray(gains(ops.array([[1, 1, 1, 1], [1, 1, 0, 0]]))))
    [[0.25 0.5  0.75 1.  ]
     [0.5  1.   0.   0.  ]]
    """
    real = ops.cast(segments > 0, "float32")
    return ops.cumsum(real, axis=1) * real / ops.maximum(ops.sum(real, axis=1, keepdims=True), 1)
