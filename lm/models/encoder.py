"""Encoders: embedding, bidirectional stack, head."""

import keras

from lm.models.model import predicted, rows_of
from lm.nn.branch import Factory, make
from lm.nn.heads import LogitsInput
from lm.parts import part
from lm.types import Features, Shape, Tensor


@part
class Encoder(keras.Model):
    """`head(encoder(embedder(tokens, types)))`.

    Features: `encoder_input_tokens`; optional `encoder_positions`, `encoder_segment_ids` (packed
    examples, 0 for padding), `encoder_token_types` (BERT's sentence A or B; 0 by default),
    `encoder_attention_mask` [B, T, T], which token may see which, and
    `encoder_predicted_positions` int32 [B, P], to apply the head only there.

    Args:
        embedder: factory of an `embedder.Embedder`.
        encoder: factory of the stack.
        head: factory of a layer `(x, table, segments) -> y`: logits per token, or a vector per row.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805).
    """

    sides = ("encoder",)

    def __init__(
        self, *, embedder: Factory, encoder: Factory, head: Factory, name: str = "encoder"
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.embedder = make(embedder, "embedder")
        self.encoder = make(encoder, "stack")
        self.head = make(head, "head")
        self.vocabulary_size = self.embedder.vocabulary_size

    def build(self, features_shape: Shape) -> None:
        """Sublayers create their variables at their first call."""
        del features_shape

    def call(self, features: Features) -> Tensor:
        segments = features.get("encoder_segment_ids")
        return self.head(self.hidden(features), self.embedder.matrix(), segments)

    def logits_input(self, features: Features) -> LogitsInput:
        """Returns what `call` projects to logits, once the model is built."""
        return self.head.logits_input(self.hidden(features), self.embedder.matrix())

    def hidden(self, features: Features) -> Tensor:
        """Returns what the head reads, [B, T, D] or [B, P, D]."""
        rows = rows_of(features, "encoder")
        x = self.embedder(
            features["encoder_input_tokens"],
            types=features.get("encoder_token_types"),
            positions=rows.positions,
        )
        mask = features.get("encoder_attention_mask")
        return predicted(self.encoder(x, rows._replace(attention_mask=mask))[0], features)
