"""Funnel-Transformers: embedding, a stack that pools the row and may restore it, head."""

import keras

from lm.models.model import predicted
from lm.nn.branch import Factory, make
from lm.nn.heads import LogitsInput
from lm.parts import part
from lm.types import Features, Layer, Shape, Tensor


@part
class Funnel(keras.Model):
    """`head(encoder(embedder(tokens)))`, with an output per token if the stack has a decoder.

    Features: `encoder_input_tokens`; optional `encoder_segment_ids` (packed examples, 0 for
    padding), `encoder_token_types` (0 or 1 for sentence A or B, 2 for [CLS]) and
    `encoder_predicted_positions` int32 [B, P], to apply the head only there. The first token of
    every example is always treated as [CLS].

    Args:
        embedder: factory of an `embedder.Embedder`.
        encoder: factory of the stack, `FunnelStack`.
        head: factory of a layer `(x, table, segments) -> y`: logits per token, or a vector per
            row; None returns what the stack returns.

    Source: Dai et al. 2020 (https://arxiv.org/abs/2006.03236).
    """

    sides = ("encoder",)

    def __init__(
        self,
        *,
        embedder: Factory,
        encoder: Factory,
        head: Factory | None = None,
        name: str = "funnel",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.embedder = make(embedder, "embedder")
        self.encoder = make(encoder, "stack")
        self.head: Layer = make(head, "head") if head else None
        self.vocabulary_size = self.embedder.vocabulary_size

    def build(self, features_shape: Shape) -> None:
        """Sublayers create their variables at their first call."""
        del features_shape

    def call(self, features: Features) -> Tensor:
        x, segments = self.hidden(features), features.get("encoder_segment_ids")
        return x if self.head is None else self.head(x, self.embedder.matrix(), segments)

    def logits_input(self, features: Features) -> LogitsInput:
        """Returns what `call` projects to logits, once the model is built."""
        return self.head.logits_input(self.hidden(features), self.embedder.matrix())

    def hidden(self, features: Features) -> Tensor:
        """Returns what the head reads: [B, T, D], or [B, T', D] where the stack has no decoder."""
        x = self.encoder(
            self.embedder(features["encoder_input_tokens"]),
            segments=features.get("encoder_segment_ids"),
            types=features.get("encoder_token_types"),
        )
        return predicted(x, features)
