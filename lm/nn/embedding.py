"""Token embeddings."""

from typing import ClassVar

import keras
from keras import ops

from lm.nn.initializers import Initializer, initializer
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Shape, Tensor


@part
class TokenEmbedding(keras.layers.Layer):
    """`E[token] · D^scale_exponent` with a table E [V, D]; only here is the width of a model set.

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
        embeddings_initializer: Initializer = "uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.scale = hidden_dim**scale_exponent
        self.embeddings_initializer = initializer(embeddings_initializer)

    def build(self, tokens_shape: Shape) -> None:
        del tokens_shape
        self.table = self.add_weight(
            shape=(self.vocabulary_size, self.hidden_dim),
            initializer=self.embeddings_initializer,
            name="embeddings",
        )

    def call(self, tokens: Tensor) -> Tensor:
        return ops.take(self.table, tokens, axis=0) * self.scale  # [B, T, D]

    def matrix(self) -> Tensor:
        """Returns E, [V, D], as a tensor: what heads read."""
        return ops.convert_to_tensor(self.table)
