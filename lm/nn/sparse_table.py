"""A large table of vectors, of which a training step reads and updates only a few rows."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, ClassVar

import keras
from keras import ops

from lm.nn.initializers import Initializer, initializer
from lm.parts import part
from lm.ranges import PositiveInt
from lm.scoped import scoped
from lm.types import Shape, Tensor

_ROWS: ContextVar[Mapping[str, Tensor] | None] = ContextVar("rows", default=None)


@part
class SparseTable(keras.layers.Layer):
    """`E[ids]` of a table E [N, D], ids [B, ...] → [B, ..., D], such as a vector per document.

    The table is not a weight: gradients are taken by the rows that a batch reads, and only these
    are updated. No gradient or finite check ever covers all N rows.

    Args:
        feature: name of the feature with the ids; the layer must be called with no other.
        num_rows: N.
        dim: D.
        embeddings_initializer: name or factory of the initial values.
    """

    logical_axes: ClassVar = {"embeddings": ("unmodeled", "embed")}

    def __init__(
        self,
        *,
        feature: str,
        num_rows: PositiveInt,
        dim: PositiveInt,
        embeddings_initializer: Initializer = "uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.feature = feature
        self.num_rows, self.dim = num_rows, dim
        self.embeddings_initializer = initializer(embeddings_initializer)

    def build(self, ids_shape: Shape) -> None:
        del ids_shape
        self.table = self.add_weight(
            shape=(self.num_rows, self.dim),
            initializer=self.embeddings_initializer,
            trainable=False,
            name="embeddings",
        )

    def call(self, ids: Tensor) -> Tensor:
        rows = _ROWS.get()
        found = ops.take(self.table, ids, axis=0) if rows is None else rows[self.path]
        return ops.cast(found, self.compute_dtype)


def learned(model: Any) -> list[Any]:
    """Returns all trained variables: the weights and the sparse tables."""
    tables = [x.table for x in model._flatten_layers() if isinstance(x, SparseTable)]
    return [*model.trainable_variables, *tables]


def given_rows(rows: Mapping[str, Tensor]) -> AbstractContextManager[None]:
    """Makes tables return these rows, path -> [B, ..., D], so that gradients flow to them."""
    return scoped(_ROWS, value=rows)
