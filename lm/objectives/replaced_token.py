"""ELECTRA: a small generator replaces tokens, and a discriminator detects which."""

from typing import Any, NamedTuple

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Factory, make
from lm.nn.random import gumbel, hashed, uniform, word
from lm.objectives.cross_entropy import likelihood
from lm.objectives.discrimination import Corrupted, Task, as_float, detect_all
from lm.objectives.objective import Ratio, no_carry
from lm.objectives.tying import Tie
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt
from lm.types import Features, Shape, Tensor, Training


class Outputs(NamedTuple):
    """The outputs of both models.

    Attributes:
        generator: logits [B, P, V] at the chosen positions.
        positions: int32 [B, P].
        text: the text with the generator's samples.
        discriminator: the discriminator's outputs for that text.
    """

    generator: Tensor
    positions: Tensor
    text: Corrupted
    discriminator: Any


@part
class ReplacedToken(keras.Model):
    """`mean of -log p(x) over chosen x + λ · mean of -log D(is_replaced) over all tokens`.

    The generator predicts the chosen tokens, those of positive weight; a sample of each replaces it
    in the input of the discriminator. A sample that equals the original counts as original. No
    gradient flows through samples.

    Features: those of the models, `encoder_target_tokens`, the text, and `encoder_loss_weights`.
    The inputs are the text with most of the chosen tokens masked. Has no `scores`.

    Reports `generator_loss`, `generator_accuracy`, `replaced_share` of all tokens, and the metrics
    of the discriminator's task.

    Args:
        discriminator: factory of the model that is kept, with a head for the task.
        generator: factory of a model with an `embedder.Embedder` whose outputs are logits.
        max_predictions: P, the maximum number of predicted tokens per row; others are unchanged.
        tie: what the two share, one of `lm.objectives.tying`.
        task: of the discriminator, one of `lm.objectives.discrimination`.
        discriminator_weight: λ.
        max_width_ratio: maximum width of the generator, relative to the discriminator.

    Raises:
        LayerError: the generator is too wide, rows have fewer than P tokens, or the discriminator
            does not have an output for every token.

    Source: Clark et al. 2020 (https://arxiv.org/abs/2003.10555), section 2, and its release.
    Departures: at most P tokens per row; the release takes P per text. With microbatches, the
    generator's mean is taken per microbatch.
    """

    initial_carry = no_carry

    def __init__(
        self,
        *,
        discriminator: Factory,
        generator: Factory,
        max_predictions: PositiveInt,
        tie: Tie,
        task: Task = detect_all,
        discriminator_weight: NonNegativeFloat = 50.0,
        max_width_ratio: NonNegativeFloat = 1.0,
        name: str = "replaced_token",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.model = make(discriminator)
        self.generator = tie(self.model, generator)
        self.max_predictions = max_predictions
        self.task = task
        self.discriminator_weight = discriminator_weight
        self.max_width_ratio = max_width_ratio

    def build(self, features_shape: Shape) -> None:
        """The models create their variables at their first call."""
        del features_shape
        self.seed = keras.random.SeedGenerator(name="seed")

    def call(self, features: Features, training: Training = None) -> Outputs:
        if not self.model.built:
            self.build_models(features)
        chosen = features["encoder_loss_weights"] > 0  # [B, T]
        positions = first_positions(chosen, self.max_predictions)  # [B, P]
        logits = self.generator({**features, "encoder_predicted_positions": positions})
        samples = sample(logits, self.noise(features, logits.shape, training))  # [B, P]
        text = corrupt(features, chosen, samples)
        outputs = self.model({**features, "encoder_input_tokens": text.tokens})
        return Outputs(logits, positions, text, outputs)

    def noise(self, features: Features, shape: Shape, training: Training) -> Tensor:
        """Returns numbers of U(0, 1); in evaluation a function of the row alone.

        So metrics do not depend on batch size or on the state of the seed.
        """
        if training:
            return uniform(shape, self.seed)
        tokens = features["encoder_target_tokens"]
        return hashed(shape, word(ops.zeros((2,), "int32")), ops.sum(tokens, axis=1))

    def build_models(self, features: Features) -> None:
        """Creates the variables; shared layers have the names of the discriminator."""
        length = features["encoder_input_tokens"].shape[1]
        if self.max_predictions > length:
            raise LayerError(
                f"ReplacedToken.max_predictions = {self.max_predictions} is more than the {length} "
                "tokens of a row: lower MAX_PREDICTIONS or raise TASK_FEATURE_LENGTHS"
            )
        self.model(features)
        self.generator(features)
        kept, other = (model.hidden(features).shape for model in (self.model, self.generator))
        if kept[1] != length:
            raise LayerError(
                f"the discriminator has {kept[1]} outputs for {length} tokens: set "
                "NUM_DECODER_LAYERS to get one per token"
            )
        if other[-1] > self.max_width_ratio * kept[-1]:
            raise LayerError(
                f"the generator is {other[-1]} wide, the discriminator {kept[-1]}: lower "
                "GENERATOR_FRACTION, or allow it by ReplacedToken.max_width_ratio = "
                f"{other[-1] / kept[-1]:.4g}"
            )

    def terms(self, features: Features, outputs: Outputs) -> dict[str, Ratio]:
        """Returns the sums to minimise ("loss") and to report, each a `Ratio`."""
        text = outputs.text
        guesses = self.generator_terms(features, outputs)
        learned = dict(self.task(outputs.discriminator, text))
        total, weight = learned["discriminator_loss"]
        # The sum of two means, as a mean over the weight of the second.
        guessing = ops.divide_no_nan(*guesses["generator_loss"]) * weight
        return {
            "loss": Ratio(guessing + self.discriminator_weight * total, weight),
            **guesses,
            "replaced_share": Ratio(ops.sum(text.is_replaced), ops.sum(text.is_real)),
            **learned,
        }

    def generator_terms(self, features: Features, outputs: Outputs) -> dict[str, Ratio]:
        """Returns loss and accuracy of the generator at the chosen positions."""
        weights = ops.cast(features["encoder_loss_weights"], "float32")
        weights, targets = (
            ops.take_along_axis(x, outputs.positions, axis=1)
            for x in (weights, features["encoder_target_tokens"])
        )
        found = likelihood(ops.cast(outputs.generator, "float32"), targets)
        weight = ops.sum(weights)
        return {
            "generator_loss": Ratio(-ops.sum(found.log_prob * weights), weight),
            "generator_accuracy": Ratio(ops.sum(found.correct * weights), weight),
        }


def first_positions(chosen: Tensor, count: int) -> Tensor:
    """Returns the first `count` chosen positions in order, then others: int32 [B, count].

    >>> print(np.asarray(first_positions(ops.array([[False, True, False, True]]), 3)))
    [[1 3 0]]
    """
    length = chosen.shape[1]
    along = ops.arange(length, dtype="int32")[None]
    order = ops.argsort(ops.where(chosen, along, along + length), axis=1)
    return ops.cast(order[:, :count], "int32")


def sample(logits: Tensor, u: Tensor) -> Tensor:
    """Returns tokens drawn from softmax(logits) by uniform u, int32 [B, P]; no gradient passes."""
    logits = ops.cast(ops.stop_gradient(logits), "float32")
    return ops.cast(ops.argmax(logits + gumbel(u), axis=-1), "int32")


def corrupt(features: Features, chosen: Tensor, samples: Tensor) -> Corrupted:
    """Returns the text with samples [B, P] in place of the first P chosen tokens of each row."""
    original, segments = features["encoder_target_tokens"], features.get("encoder_segment_ids")
    number = ops.cumsum(ops.cast(chosen, "int32"), axis=1) - 1  # [B, T], of a chosen token
    is_drawn = ops.logical_and(chosen, number < samples.shape[1])
    drawn = ops.take_along_axis(samples, ops.clip(number, 0, samples.shape[1] - 1), axis=1)
    return Corrupted(
        tokens=ops.where(is_drawn, drawn, original),
        original=original,
        is_real=as_float(ops.ones_like(original) if segments is None else segments > 0),
        is_chosen=as_float(is_drawn),
    )
