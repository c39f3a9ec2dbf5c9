"""Token prediction (next token, spans, masked tokens): cross entropy at weighted positions."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from lm.nn.branch import Factory, State, make
from lm.nn.heads import LogitsInput
from lm.objectives.cross_entropy import (
    Likelihood,
    LossOptions,
    Target,
    flat,
    likelihood,
    likelihood_by_chunks,
    loss_of,
    loss_sums,
)
from lm.objectives.objective import Ratio, RowScores
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt, UnitFloat
from lm.types import Features, Shape, Tensor


@part
def per_token(weights: Tensor) -> Tensor:
    """Returns Σ w of weights [B, T]: the loss is a mean over tokens."""
    return ops.sum(weights)


@part
def per_row(weights: Tensor) -> Tensor:
    """Returns how many rows of weights [B, T] are not 0: the loss is a mean over sentences.

    >>> print(np.asarray(per_row(ops.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]))))
    2.0

    Source: Sutskever et al. 2014 (https://arxiv.org/abs/1409.3215), sections 3.2 and 3.4.
    """
    return ops.sum(ops.cast(ops.any(weights > 0, axis=1), "float32"))


@part
class TokenPrediction(keras.Model):
    """`Σ w · (-log p(target) + z_loss · (log Z)²) / divisor(w)` over the positions of a batch.

    Features: those of the model, and `…_target_tokens` and `…_loss_weights` of its output side
    (`decoder_…`, or `encoder_…` if there is no decoder). Called with a carry it returns the outputs
    and the new carry, as the model does.

    Args:
        model: factory of the model whose outputs are logits [B, T, V].
        label_smoothing: mass ε spread evenly over the vocabulary, (1 - ε)·one-hot + ε/V.
        z_loss: weight of (log Z)², which keeps the softmax normaliser near 1 (T5: 1e-4).
        chunks: number of chunks in which logits are computed, to save memory with large
            vocabularies; None computes them all at once.
        divisor: divisor of the sum of losses: `per_token`, or `per_row` if rows are not packed.
            Cross entropy and accuracy are always means over tokens.

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
        divisor: Callable[[Tensor], Tensor] = per_token,
        name: str = "token_prediction",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.model = make(model)
        self.label_smoothing = label_smoothing
        self.z_loss = z_loss
        self.chunks: Any = chunks
        self.divisor = divisor

    @property
    def options(self) -> LossOptions:
        """The options of the loss."""
        return LossOptions(self.label_smoothing, self.z_loss)

    def build(self, features_shape: Shape) -> None:
        """The model creates its variables at its first call."""
        del features_shape

    def call(self, features: Features, carry: State = None) -> Any:
        given = {} if carry is None else {"carry": carry}
        if self.chunks is None or not self.model.built:
            outputs = self.model(features, **given)  # creates the weights, under their own names
        return outputs if self.chunks is None else self.model.logits_input(features, **given)

    def initial_carry(self, batch: int) -> State:
        """Returns the carry of the model before the first batch."""
        return self.model.initial_carry(batch)

    def terms(self, features: Features, outputs: Any) -> dict[str, Ratio]:
        """Returns the sums to minimise ("loss") and to report, each a `Ratio`."""
        targets, weights = targets_and_weights(features)
        sums = self.sums if self.chunks is None else self.sums_by_chunks
        loss, cross_entropy, correct = sums(outputs, targets, weights)
        weight = per_token(weights)
        return {
            "loss": Ratio(loss, self.divisor(weights)),
            "cross_entropy": Ratio(cross_entropy, weight),
            "accuracy": Ratio(correct, weight),
        }

    def sums(self, logits: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """Returns Σ w·loss, Σ w·cross entropy and Σ w·correct of logits [B, T, V]."""
        logits = ops.cast(logits, "float32")
        log_prob, correct, log_z = likelihood(logits, targets)  # [B, T]
        loss = loss_of(-log_prob, log_z, logits, self.options)
        return tuple(ops.sum(value * weights) for value in (loss, -log_prob, correct))

    def sums_by_chunks(
        self, inputs: LogitsInput, targets: Tensor, weights: Tensor
    ) -> tuple[Tensor, ...]:
        """Returns the same without ever storing all logits."""
        target = Target(ops.reshape(targets, (-1,)), ops.reshape(weights, (-1,)))
        sums = loss_sums(flat(inputs), target, chunks=self.chunks, options=self.options)
        return sums[0], sums[1], sums[2]

    def scores(self, features: Features, outputs: Any) -> RowScores:
        """Returns the sums of every row, float32 [B]: log-likelihood, correct, weight."""
        targets, weights = targets_and_weights(features)
        found = self.likelihood(outputs, targets)
        return RowScores(
            log_likelihood=ops.sum(found.log_prob * weights, axis=-1),
            correct=ops.sum(found.correct * weights, axis=-1),
            weight=ops.sum(weights, axis=-1),
        )

    def likelihood(self, outputs: Any, targets: Tensor) -> Likelihood:
        """Returns how probable the targets are, [B, T]."""
        if self.chunks is None:
            return likelihood(ops.cast(outputs, "float32"), targets)
        tokens = ops.reshape(targets, (-1,))
        found = likelihood_by_chunks(flat(outputs), tokens, chunks=self.chunks)
        return Likelihood(*(ops.reshape(x, targets.shape) for x in found))


def targets_and_weights(features: Features) -> tuple[Tensor, Tensor]:
    """Returns the targets, int32 [B, T], and their weights, float32 [B, T]."""
    side = "decoder" if "decoder_target_tokens" in features else "encoder"
    weights = ops.cast(features[f"{side}_loss_weights"], "float32")
    return features[f"{side}_target_tokens"], weights
