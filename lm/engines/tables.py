"""Sparse tables in a step: rows are read before the gradient is taken, and written after it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from lm.errors import UserError
from lm.nn.sparse_table import SparseTable
from lm.optim.optimizer import Optimizer
from lm.optim.sparse import Touched
from lm.types import Features, Tensor


class Tables:
    """The sparse tables of an objective, each with the slots of its update rule.

    Args:
        objective: built; its variables have their values.
        optimizer: whose `sparse` rule makes the updates.

    Raises:
        UserError: the optimizer has no such rule.
    """

    def __init__(self, objective: Any, optimizer: Optimizer) -> None:
        self.layers = [x for x in objective._flatten_layers() if isinstance(x, SparseTable)]
        if self.layers and optimizer.sparse is None:
            raise UserError(
                f"{self.layers[0].path} is a sparse table, for which {optimizer.rule.name} has no "
                "update: bind OPTIMIZER = @sgd.sgd (without momentum) or @adagrad.adagrad"
            )
        slots = optimizer.sparse.slots if optimizer.sparse else {}
        self.groups = [[x.table, *(_slot(x.table, *s) for s in slots.items())] for x in self.layers]

    @property
    def variables(self) -> list[Any]:
        """Tables and slots: part of the training state, no part of which a step copies."""
        return [variable for group in self.groups for variable in group]

    @property
    def slots(self) -> list[Any]:
        """The slots alone."""
        return [slot for group in self.groups for slot in group[1:]]

    def ids(self, features: Features) -> list[Tensor]:
        """Return the rows of each table that a batch reads, int32 [B, ...]."""
        return [features[layer.feature] for layer in self.layers]

    def rows(self, features: Features, read: Callable[[Any, Tensor], Tensor]) -> list[list[Tensor]]:
        """Return those rows of every table and of its slots, [B, ..., D] each.

        Args:
            features: of a batch.
            read: `(variable, ids) -> rows`, which makes no copy of the variable.
        """
        return [
            [read(variable, ids) for variable in group]
            for group, ids in zip(self.groups, self.ids(features), strict=True)
        ]

    def by_path(self, rows: Sequence[Tensor]) -> Mapping[str, Tensor]:
        """Return path of a layer -> what it returns."""
        return {layer.path: x for layer, x in zip(self.layers, rows, strict=True)}

    def touched(
        self, features: Features, rows: Sequence[Sequence[Tensor]], gradients: Sequence[Tensor]
    ) -> list[Touched]:
        """Return what an update needs, all positions of a batch in one row."""
        return [
            Touched(ops.reshape(ids, (-1,)), [_flat(x) for x in values], _flat(gradient))
            for ids, values, gradient in zip(self.ids(features), rows, gradients, strict=True)
        ]

    def write(
        self,
        features: Features,
        after: Sequence[Sequence[Tensor]],
        put: Callable[[Any, Tensor, Tensor], None],
    ) -> None:
        """Write the rows of every table and slot after an update; rows that repeat are equal.

        Args:
            features: of the batch.
            after: rows [K, D] of every table and slot.
            put: `(variable, ids [K], rows [K, D])`, which makes no copy of the variable.
        """
        for group, ids, values in zip(self.groups, self.ids(features), after, strict=True):
            for variable, rows in zip(group, values, strict=True):
                put(variable, ops.reshape(ids, (-1,)), rows)


def _flat(x: Tensor) -> Tensor:
    """[B, ..., D] -> [K, D]."""
    return ops.reshape(x, (-1, x.shape[-1]))


def _slot(table: Any, name: str, value: float) -> Any:
    """Return a variable shaped like a table that no layer owns."""
    with keras.name_scope("sparse"):
        return keras.Variable(
            keras.initializers.Constant(value),
            shape=table.shape,
            dtype=table.dtype,
            trainable=False,
            name=f"{table.path.replace('/', '_')}_{name}",
        )
