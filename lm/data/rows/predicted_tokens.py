"""Rows of an encoder that computes logits only at predicted tokens: a seventh of the logits.

A row of `features.Encoder`, and the same with P = 3:

    encoder_target_tokens   5 6 7 8 9    encoder_predicted_positions   1 3 0
    encoder_loss_weights    0 1 0 1 0    encoder_target_tokens         6 8 5
                                         encoder_loss_weights          1 1 0
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from lm.data.rows.features import Encoder
from lm.data.rows.packing import Features, Lengths, Packer
from lm.errors import UserError
from lm.parts import part
from lm.ranges import PositiveInt


@part
class PredictedTokens:
    """Rows of `features.Encoder` with P targets: the first P tokens of positive weight.

    A row with fewer is filled with tokens of weight 0; in a row with more, the others are not
    predicted.

    Args:
        max_predictions: P.
        pack: as in `features.Encoder`.

    Raises:
        UserError: a row has fewer than P tokens.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805), its release:
    `max_predictions_per_seq`.
    """

    task_features = Encoder.task_features

    def __init__(
        self, *, max_predictions: PositiveInt, pack: Callable[[], Packer] | None = None
    ) -> None:
        self.max_predictions = max_predictions
        self.encoder = Encoder(pack=pack)
        self.packer = self.encoder.packer
        self.trims = self.encoder.trims

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples that fit a row, with weights."""
        length = lengths.get("inputs", self.max_predictions)
        if self.max_predictions > length:
            raise UserError(
                f"PredictedTokens.max_predictions = {self.max_predictions} is more than the "
                f"{length} tokens of a row: lower MAX_PREDICTIONS or raise TASK_FEATURE_LENGTHS"
            )
        return self.encoder.prepare(dataset, lengths)

    def row_lengths(self, lengths: Lengths) -> Lengths:
        """Returns the length of the inputs, for every feature of an example with weights."""
        return self.encoder.row_lengths(lengths)

    def convert(self, rows: Features) -> Features:
        """Returns the encoder's features, and positions, targets and weights [rows, P]."""
        made = self.encoder.convert(rows)
        is_other = tf.cast(made["encoder_loss_weights"] <= 0, tf.int32)  # [rows, T]
        positions = tf.argsort(is_other, axis=1, stable=True)[:, : self.max_predictions]
        return made | {
            "encoder_predicted_positions": positions,
            **{
                name: tf.gather(made[name], positions, batch_dims=1)
                for name in ("encoder_target_tokens", "encoder_loss_weights")
            },
        }

    def num_rows(self, example: Mapping[str, Any], lengths: Lengths) -> int:
        """Returns the number of parts that the inputs are split into."""
        return self.encoder.num_rows(example, lengths)
