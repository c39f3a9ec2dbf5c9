"""Input embeddings of bidirectional models: tokens, types and positions, normalized."""

from collections.abc import Sequence
from typing import ClassVar

import keras
from keras import ops

from lm.nn.branch import Factory, chain, make, make_all
from lm.nn.initializers import Initializer, initializer
from lm.nn.kernels import Dense
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Layer, Shape, Tensor


@part
class Embedder(keras.layers.Layer):
    """`after(position(E[tokens] + E_type[types]))`, [B, T] → [B, T, D].

    Models may share an embedder and project to their own width in the `before` of their stacks.

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

    def logits(self, x: Tensor) -> Tensor:
        """Returns `x Eᵀ` of one position per row, [B, D] → [B, V]."""
        return self.embedding.logits(x)


@part
class Projection(keras.layers.Layer):
    """`x W + b`, [..., E] → [..., D], from the embeddings' width to the stack's; x if E = D.

    Args:
        hidden_dim: D.
        kernel_initializer: name or factory of the initial values of W.

    Source: Clark et al. 2020 (https://arxiv.org/abs/2003.10555), its release.
    """

    logical_axes: ClassVar = {"dense/kernel": ("unmodeled", "embed")}

    def __init__(
        self,
        *,
        hidden_dim: PositiveInt,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.hidden_dim = hidden_dim
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Shape) -> None:
        fits = x_shape[-1] == self.hidden_dim
        self.dense: Layer = keras.layers.Identity() if fits else self.projection()

    def projection(self) -> Layer:
        """Returns the layer of W and b."""
        return Dense(self.hidden_dim, kernel_initializer=self.kernel_initializer, name="dense")

    def call(self, x: Tensor) -> Tensor:
        return self.dense(ops.cast(x, self.compute_dtype))
