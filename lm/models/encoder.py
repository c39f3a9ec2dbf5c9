"""Encoder: embed, one bidirectional stack, a head."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from lm.nn.branch import Factory, make
from lm.nn.heads import Factors
from lm.parts import part


@part
class Encoder(keras.Model):
    """`head(encoder(E[tokens] + E_type[types]))`.

    Features: `encoder_input_tokens`, and where there are any `encoder_positions`,
    `encoder_segment_ids` (packed examples, 0 for padding), `encoder_token_types` (BERT's sentence A
    or B; 0 by default) and `encoder_attention_mask` [B, T, T], which token may look at which.

    Args:
        embedding: factory of the token embedding.
        encoder: factory of the stack.
        head: factory of a layer `(x, table) -> y`: logits per token, or one vector per row.
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

    def build(self, features_shape: Any) -> None:
        """Leaves it to the parts to build themselves, at their first call."""
        del features_shape

    def call(self, features: Mapping[str, Any]) -> Any:
        return self.head(self.hidden(features), ops.convert_to_tensor(self.embedding.table))

    def factors(self, features: Mapping[str, Any]) -> Factors:
        """Returns what the logits of `call` are the product of, once the model is built."""
        table = ops.convert_to_tensor(self.embedding.table)
        return self.head.factors(self.hidden(features), table)

    def hidden(self, features: Mapping[str, Any]) -> Any:
        """Returns what the head reads, [B, T, D]."""
        tokens = features["encoder_input_tokens"]
        x = self.embedding(tokens)
        if self.types:
            x = x + self.types(features.get("encoder_token_types", ops.zeros_like(tokens)))
        x, _ = self.encoder(
            x,
            positions=features.get("encoder_positions"),
            segments=features.get("encoder_segment_ids"),
            attention_mask=features.get("encoder_attention_mask"),
        )
        return x
