"""Token embeddings."""

from typing import ClassVar

import keras
from keras import ops

from lm.nn.branch import Factory, make
from lm.nn.dropout import Dropout
from lm.nn.initializers import Initializer, initializer
from lm.nn.kernels import matrix, table_product
from lm.parts import part
from lm.ranges import PositiveInt, UnitFloat
from lm.types import Shape, Tensor


@part
class TokenEmbedding(keras.layers.Layer):
    """`E[token] · D^scale_exponent` with a table E [V, D]; sets the width of the model.

    Args:
        vocabulary_size: rows of the table.
        hidden_dim: the width D, which all layers above infer from their input.
        scale_exponent: 0 for no scaling; Tensor2Tensor scales by D^0.5.
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
        return matrix(self.table)

    def logits(self, x: Tensor) -> Tensor:
        """Returns `x Eᵀ` of one position per row, [B, D] → [B, V]."""
        return table_product(x, self.table)


@part
class WordDropout(keras.layers.Layer):
    """`E[token] ⊙ m_token / (1 - rate)`: one m per word of the vocabulary, drawn once per call.

    All occurrences of a word in a batch are dropped or kept together. To drop single occurrences
    use `dropout.Dropout` with `broadcast_axes = [2]` on the embeddings.

    Args:
        embedding: factory of a token embedding.
        rate: fraction of the words that are 0 in training (0.1).

    Source: Gal, Ghahramani 2016 (https://arxiv.org/abs/1512.05287), section 4.2; Merity et al. 2017
    (https://arxiv.org/abs/1708.02182), section 4.2, embedding dropout.
    """

    def __init__(self, *, embedding: Factory, rate: UnitFloat, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self.embedding = make(embedding, "embedding")
        self.vocabulary_size = self.embedding.vocabulary_size
        self.dropout = Dropout(rate=rate, name="dropout")

    def build(self, tokens_shape: Shape) -> None:
        """The embedding creates its table at its first call."""
        del tokens_shape

    def call(self, tokens: Tensor) -> Tensor:
        keep_mask = self.dropout(ops.ones((self.vocabulary_size, 1)))  # [V, 1]
        x = self.embedding(tokens)  # [B, T, D]
        return x * ops.cast(ops.take(keep_mask, tokens, axis=0), x.dtype)

    def matrix(self) -> Tensor:
        """Returns E, [V, D], without dropout: what heads read."""
        return self.embedding.matrix()

    def logits(self, x: Tensor) -> Tensor:
        """Returns `x Eᵀ` of one position per row, [B, D] → [B, V]."""
        return self.embedding.logits(x)
