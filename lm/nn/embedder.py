"""What a bidirectional model reads: the embeddings of tokens, types and positions, normalized."""

from collections.abc import Sequence
from typing import ClassVar

import keras
from keras import ops

from lm.nn.branch import Factory, chain, make, make_all
from lm.parts import part
from lm.types import Shape, Tensor


@part
class Embedder(keras.layers.Layer):
    """`after(position(E[tokens] + E_type[types]))`, [B, T] → [B, T, D].

    Models may share one; each then projects to its own width in the `before` of its stack.

    Args:
        embedding: factory of the token embedding.
        token_type_embedding: factory of the embedding of token types, or None.
        position: factory of a layer `(x, positions) -> x` for absolute positions, or None.
        after: factories of layers after the sum: BERT's norm and dropout, a projection.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805).
    """

    logical_axes: ClassVar = {"types/embeddings": ("unmodeled", "embed")}

    def __init__(
        self,
        *,
        embedding: Factory,
        token_type_embedding: Factory | None = None,
        position: Factory | None = None,
        after: Sequence[Factory] = (),
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.embedding = make(embedding, "embedding")
        self.types = make(token_type_embedding, "types") if token_type_embedding else None
        self.position = make(position) if position else None
        self.after = make_all(after, "after")
        self.vocabulary_size = self.embedding.vocabulary_size

    def build(self, tokens_shape: Shape) -> None:
        """Sublayers create their variables at their first call."""
        del tokens_shape

    def call(self, tokens: Tensor, types: Tensor = None, positions: Tensor = None) -> Tensor:
        """Returns [B, T, D].

        Args:
            tokens: int32 [B, T].
            types: int32 [B, T], BERT's sentence A or B; None is type 0.
            positions: int32 [B, T] inside each example; None counts along the row.
        """
        x = self.embedding(tokens)
        if self.types:
            x = x + self.types(ops.zeros_like(tokens) if types is None else types)
        if self.position:
            along = ops.arange(tokens.shape[1], dtype="int32")[None]
            x = self.position(x, along if positions is None else positions)
        return chain(self.after, x)

    def matrix(self) -> Tensor:
        """Returns the table of the tokens, [V, D]: what heads read."""
        return self.embedding.matrix()
