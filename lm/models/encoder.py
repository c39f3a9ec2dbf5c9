"""Encoder: embed, one bidirectional stack, a head."""

from typing import ClassVar

import keras
from keras import ops

from lm.models.features import rows_of
from lm.nn.branch import Factory, make
from lm.nn.heads import LogitsInput
from lm.parts import part
from lm.types import Features, Shape, Tensor


@part
class Encoder(keras.Model):
    """`head(encoder(E[tokens] + E_type[types]))`.

    Features: `encoder_input_tokens`, and where there are any `encoder_positions`,
    `encoder_segment_ids` (packed examples, 0 for padding), `encoder_token_types` (BERT's sentence A
    or B; 0 by default) and `encoder_attention_mask` [B, T, T], which token may see which.

    Args:
        embedding: factory of the token embedding.
        encoder: factory of the stack.
        head: factory of a layer `(x, table, segments) -> y`: logits per token, or a vector per row.
        token_type_embedding: factory of the embedding of token types, or None.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805).
    """

    logical_axes: ClassVar = {"types/embeddings": ("unmodeled", "embed")}

    sides = ("encoder",)

    def __init__(
        self,
        *,
        embedding: Factory,
        encoder: Factory,
        head: Factory,
        token_type_embedding: Factory | None = None,
        name: str = "encoder",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.embedding = make(embedding, "embedding")
        self.types = make(token_type_embedding, "types") if token_type_embedding else None
        self.encoder = make(encoder, "stack")
        self.head = make(head, "head")
        self.vocabulary_size = self.embedding.vocabulary_size

    def build(self, features_shape: Shape) -> None:
        """Sublayers create their variables at their first call."""
        del features_shape

    def call(self, features: Features) -> Tensor:
        segments = features.get("encoder_segment_ids")
        return self.head(self.hidden(features), self.embedding.matrix(), segments)

    def logits_input(self, features: Features) -> LogitsInput:
        """Returns what `call` projects to logits, once the model is built."""
        return self.head.logits_input(self.hidden(features), self.embedding.matrix())

    def hidden(self, features: Features) -> Tensor:
        """Returns what the head reads, [B, T, D]."""
        tokens = features["encoder_input_tokens"]
        x = self.embedding(tokens)
        if self.types:
            x = x + self.types(features.get("encoder_token_types", ops.zeros_like(tokens)))
        mask = features.get("encoder_attention_mask")
        return self.encoder(x, rows_of(features, "encoder")._replace(attention_mask=mask))[0]
