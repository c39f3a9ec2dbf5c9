"""Paragraph vectors and word vectors: the vectors from which words are predicted.

    DistributedMemory    mean or concatenation of document and context words;
                         without documents: CBOW
    BagOfWords           the document; if words are trained also each context word separately;
                         without documents: skip-gram

Shapes: B documents, C context words of each, P = 1 or 1 + C predicting vectors of width D.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import keras
from keras import ops

from lm.nn.branch import Factory, make
from lm.parts import part
from lm.types import Features, Layer, Shape, Tensor

Combine: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Vectors [B, C, D] and weights [B, C] -> one vector [B, D'] of a row."""


class Predictors(NamedTuple):
    """The vectors from which the words of a row are predicted.

    Attributes:
        vectors: [B, P, D].
        weights: [B, P], 0 for a vector that is only padding.
    """

    vectors: Tensor
    weights: Tensor


@part
def mean(vectors: Tensor, weights: Tensor) -> Tensor:
    """Returns `Σ w x / Σ w`, [B, C, D] → [B, D], with the gradient of the sum.

    So each vector moves as far as if it were alone in the window.

    Source: the code of Mikolov et al. 2013, word2vec; the true gradient is Σ w times smaller.
    """
    total = ops.einsum("bc,bcd->bd", weights, vectors)
    number = ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1.0)
    return total + ops.stop_gradient(total / number - total)


@part
def concatenate(vectors: Tensor, weights: Tensor) -> Tensor:
    """Returns `[x_1; …; x_C]`, [B, C, D] → [B, C·D]; the NULL word 0 pads beyond the borders."""
    del weights
    return ops.reshape(vectors, (-1, vectors.shape[1] * vectors.shape[2]))


@part
class DistributedMemory(keras.Model):
    """`h = combine(d, w_1, …, w_C)`: the document and the context words of a word.

    Features: `documents` int32 [B], `context` int32 [B, C], `context_weights` [B, C].

    Args:
        words: factory of the table of words W, a `SparseTable` over `context`.
        documents: factory of the table D, a `SparseTable` over `documents`; None is CBOW.
        combine: `mean` or `concatenate`.

    Source: Le and Mikolov 2014 (https://arxiv.org/abs/1405.4053), section 2.2; Mikolov et al. 2013
    (https://arxiv.org/abs/1301.3781), section 3.1, for CBOW.
    """

    sides: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        words: Factory,
        documents: Factory | None = None,
        combine: Combine = mean,
        name: str = "distributed_memory",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.words = make(words, "words")
        self.documents = None if documents is None else make(documents, "documents")
        self.combine = combine

    def build(self, features_shape: Shape) -> None:
        """Sublayers create their variables at their first call."""
        del features_shape

    def call(self, features: Features) -> Predictors:
        vectors = with_document(self.documents, features, self.words(features["context"]))
        weights = after_ones(vectors, features["context_weights"])
        h = self.combine(vectors, weights)[:, None]  # [B, 1, D']
        return Predictors(h, ops.ones_like(h[..., 0]))

    def row(self, length: int) -> dict[str, Any]:
        """Returns a row on shapes, with so many context words."""
        return row_of(length)


@part
class BagOfWords(keras.Model):
    """`h_0 = d, h_c = w_c`: the document and, if words are trained, each context word separately.

    Features: `documents` int32 [B]; with words `context` int32 [B, C], `context_weights` [B, C].

    Args:
        documents: factory of the table D, a `SparseTable` over `documents`; None is skip-gram.
        words: factory of the table of words W, a `SparseTable` over `context`; None trains none.

    Source: Le and Mikolov 2014 (https://arxiv.org/abs/1405.4053), section 2.3; Mikolov et al. 2013
    (https://arxiv.org/abs/1301.3781), section 3.2, for skip-gram.
    """

    sides: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        documents: Factory | None = None,
        words: Factory | None = None,
        name: str = "bag_of_words",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.documents: Layer = None if documents is None else make(documents, "documents")
        self.words: Layer = None if words is None else make(words, "words")

    def build(self, features_shape: Shape) -> None:
        """Sublayers create their variables at their first call."""
        del features_shape

    def call(self, features: Features) -> Predictors:
        if self.words is None:
            vectors = self.documents(features["documents"])[:, None]  # [B, 1, D]
            return Predictors(vectors, ops.ones_like(vectors[..., 0]))
        vectors = with_document(self.documents, features, self.words(features["context"]))
        return Predictors(vectors, after_ones(vectors, features["context_weights"]))

    def row(self, length: int) -> dict[str, Any]:
        """Returns a row on shapes, with so many context words."""
        return row_of(length)


def row_of(length: int) -> dict[str, Any]:
    """Returns a row on shapes, with so many context words."""
    return {
        "documents": keras.KerasTensor((1,), "int32"),
        "context": keras.KerasTensor((1, length), "int32"),
        "context_weights": keras.KerasTensor((1, length)),
    }


def with_document(documents: Any, features: Features, words: Tensor) -> Tensor:
    """Returns the document before the words, [B, 1 + C, D]; without documents the words alone."""
    if documents is None:
        return words
    return ops.concatenate([documents(features["documents"])[:, None], words], axis=1)


def after_ones(vectors: Tensor, weights: Tensor) -> Tensor:
    """Returns weights [B, C] after a one for each vector before those of the words."""
    before = vectors.shape[1] - weights.shape[1]
    return ops.pad(weights, ((0, 0), (before, 0)), constant_values=1.0)
