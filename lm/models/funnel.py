"""Funnel-Transformer: embed, a stack that shortens the row and may restore it, a head."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from lm.nn.branch import Factory, make
from lm.nn.heads import Factors
from lm.parts import part


@part
class Funnel(keras.Model):
    """`head(encoder(E[tokens]))`, with an output per token if the stack has a decoder.

    Features: `encoder_input_tokens`, and where there are any `encoder_segment_ids` (packed
    examples, 0 for padding) and `encoder_token_types` (0 or 1 for sentence A or B, 2 for [CLS]).
    The first token of every example takes the place of [CLS], whatever it is.

    Args:
        embedding: factory of the token embedding.
        encoder: factory of the stack, `FunnelStack`.
        head: factory of a layer `(x, table) -> y`: logits per token, or one vector per row; None
            returns what the stack returns.

    Source: Dai et al. 2020 (https://arxiv.org/abs/2006.03236).
    """

    sides = ("encoder",)

    def __init__(
        self,
        *,
        embedding: Factory,
        encoder: Factory,
        head: Factory | None = None,
        name: str = "funnel",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.embedding = make(embedding, "embedding")
        self.encoder = make(encoder, "stack")
        self.head: Any = make(head, "head") if head else None
        self.vocabulary_size = self.embedding.vocabulary_size

    def build(self, features_shape: Any) -> None:
        """Leaves it to the parts to build themselves, at their first call."""
        del features_shape

    def call(self, features: Mapping[str, Any]) -> Any:
        x = self.hidden(features)
        if self.head is None:
            return x
        return self.head(x, ops.convert_to_tensor(self.embedding.table))

    def factors(self, features: Mapping[str, Any]) -> Factors:
        """Returns what the logits of `call` are the product of, once the model is built."""
        table = ops.convert_to_tensor(self.embedding.table)
        return self.head.factors(self.hidden(features), table)

    def hidden(self, features: Mapping[str, Any]) -> Any:
        """Returns what the head reads: [B, T, D], or [B, T', D] where the stack has no decoder."""
        return self.encoder(
            self.embedding(features["encoder_input_tokens"]),
            segments=features.get("encoder_segment_ids"),
            types=features.get("encoder_token_types"),
        )
