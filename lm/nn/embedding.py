"""Token embeddings."""

from typing import Any, ClassVar

import keras
from keras import ops

from lm.nn.initializers import initializer
from lm.parts import part
from lm.ranges import PositiveInt


@part
class TokenEmbedding(keras.layers.Layer):
    """`E[token] · D^scale_exponent` with a table E [V, D]; the width of a model is set here alone.

    Args:
        vocabulary_size: rows of the table.
        hidden_dim: the width D that every layer above reads from its input.
        scale_exponent: 0 leaves the rows as they are; Tensor2Tensor scales them by D^0.5.
        embeddings_initializer: name or factory of the table's initial values.
    """

    logical_axes: ClassVar = {"embeddings": ("vocab", "embed")}

    def __init__(
        self,
        *,
        vocabulary_size: PositiveInt,
        hidden_dim: PositiveInt,
        scale_exponent: float = 0.0,
        embeddings_initializer: Any = "uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.scale = hidden_dim**scale_exponent
        self.embeddings_initializer = initializer(embeddings_initializer)

    def build(self, tokens_shape: Any) -> None:
        del tokens_shape
        self.table = self.add_weight(
            shape=(self.vocabulary_size, self.hidden_dim),
            initializer=self.embeddings_initializer,
            name="embeddings",
        )

    def call(self, tokens: Any) -> Any:
        return ops.take(self.table, tokens, axis=0) * self.scale  # [B, T, D]
