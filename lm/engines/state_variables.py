"""Variables of the training state that no layer owns.

    Meter     sums over a log window, and counts of skipped updates
    Carry     state that a model passes from one batch to the next, row by row
    Tables    sparse tables and their slots: rows are read before the gradient, written after it

All of them are part of every checkpoint.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import keras
import numpy as np
from keras import ops

from lm.errors import UserError
from lm.nn.branch import State
from lm.nn.sparse_table import SparseTable
from lm.objectives.objective import count_continuing_rows
from lm.optim.optimizer import Optimizer
from lm.optim.sparse import Touched
from lm.types import Features, Shape, Tensor, Tree

COUNTERS = ("skipped", "skipped_in_row", "rollbacks")


class Meter:
    """Sums (total, weight) of every term since the last reset, the learning rate, and counters.

    Args:
        terms: names of the objective's terms.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        names = (*terms, "grad_norm")
        self.sums = {name: _variable(("meter", name), (2,), "float32") for name in names}
        self.learning_rate = _variable(("meter", "learning_rate"), (), "float32")
        self.counters = {name: _variable(("meter", name), (), "int32") for name in COUNTERS}

    @property
    def variables(self) -> list[Any]:
        """All variables of the meter."""
        return [*self.sums.values(), self.learning_rate, *self.counters.values()]

    def add(
        self, terms: Mapping[str, Tensor], *, norm: Tensor, learning_rate: Tensor, accepted: Tensor
    ) -> None:
        """Adds the terms of a step, unless its update was skipped.

        Args:
            terms: name -> float32 [2], the total and the weight.
            norm: global norm of the gradient.
            learning_rate: rate of this update.
            accepted: bool scalar, whether the update was made.
        """
        terms = {**terms, "grad_norm": ops.stack([norm, ops.ones_like(norm)])}
        for name, variable in self.sums.items():
            variable.assign(variable + ops.where(accepted, terms[name], 0.0))
        self.learning_rate.assign(learning_rate)
        skipped = ops.cast(ops.logical_not(accepted), "int32")
        total, in_row = self.counters["skipped"], self.counters["skipped_in_row"]
        total.assign(total + skipped)
        in_row.assign((in_row + skipped) * skipped)

    def read(self) -> dict[str, float]:
        """Returns the means of the window, the rate and the counters; waits for the device.

        `target_tokens` is the weight per update of the cross entropy, else of the loss.
        """
        sums = {name: np.asarray(v.value) for name, v in self.sums.items()}
        means = {name: mean(*pair) for name, pair in sums.items()}
        weighed = sums.get("cross_entropy", sums["loss"])
        means["target_tokens"] = mean(weighed[1], sums["grad_norm"][1])
        scalars = {"learning_rate": self.learning_rate, **self.counters}
        return means | {name: np.asarray(v.value).item() for name, v in scalars.items()}

    def reset(self) -> None:
        """Starts a new window; the counters continue."""
        for variable in self.sums.values():
            variable.assign(np.zeros(2, "float32"))


def mean(total: float, weight: float) -> float:
    """Returns total / weight; NaN if the weight is 0.

    Example:
        >>> mean(3.0, 2.0), mean(0.0, 0.0)
        (1.5, nan)
    """
    return float(total) / float(weight) if weight else float("nan")


class Carry:
    """The carry of training, as variables named by the layers that use them.

    Args:
        objective: built; its variables need no values.
        features: as of `count_continuing_rows`.
    """

    def __init__(self, objective: Any, features: Features) -> None:
        rows = count_continuing_rows(features)
        # A carry of 0 rows has the same tree and dtypes, and allocates nothing.
        self._tree = objective.initial_carry(0) if rows else ()
        leaves = _leaves(self._tree, ("carry",))
        self.variables = [_variable(path, (rows, *x.shape[1:]), x.dtype) for path, x in leaves]

    def packed(self, values: Sequence[Tensor]) -> State:
        """Returns values, in the order of the variables, as the tree that a model takes."""
        return keras.tree.pack_sequence_as(self._tree, values) if self.variables else ()

    def assign(self, values: Sequence[Tensor]) -> None:
        """Gives every variable its value."""
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)

    def reset(self) -> None:
        """Sets it to zero: every row starts a new sequence."""
        self.assign([ops.zeros(v.shape, v.dtype) for v in self.variables])

    def lay(self, layout: Any) -> None:
        """Splits the rows over the devices of a mesh; Keras' own layouts depend on paths only."""
        for variable in self.variables:
            variable._layout = layout
        self.reset()


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
        """Tables and slots, which a step never copies."""
        return [variable for group in self.groups for variable in group]

    @property
    def slots(self) -> list[Any]:
        """The slots alone."""
        return [slot for group in self.groups for slot in group[1:]]

    def ids(self, features: Features) -> list[Tensor]:
        """Returns the row indices of each table that a batch reads, int32 [B, ...]."""
        return [features[layer.feature] for layer in self.layers]

    def rows(self, features: Features, read: Callable[[Any, Tensor], Tensor]) -> list[list[Tensor]]:
        """Returns those rows of every table and of its slots, [B, ..., D] each.

        Args:
            features: of a batch.
            read: `(variable, ids) -> rows`, without copying the variable.
        """
        return [
            [read(variable, ids) for variable in group]
            for group, ids in zip(self.groups, self.ids(features), strict=True)
        ]

    def by_path(self, rows: Sequence[Tensor]) -> Mapping[str, Tensor]:
        """Returns path of a layer -> its rows."""
        return {layer.path: x for layer, x in zip(self.layers, rows, strict=True)}

    def touched(
        self, features: Features, rows: Sequence[Sequence[Tensor]], gradients: Sequence[Tensor]
    ) -> list[Touched]:
        """Returns what the updates of the tables need, all positions of a batch in one list."""
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
        """Writes the rows of every table and slot after an update; rows that repeat are equal.

        Args:
            features: of the batch.
            after: rows [K, D] of every table and slot.
            put: `(variable, ids [K], rows [K, D])`, without copying the variable.
        """
        for group, ids, values in zip(self.groups, self.ids(features), after, strict=True):
            for variable, rows in zip(group, values, strict=True):
                put(variable, ops.reshape(ids, (-1,)), rows)


def _leaves(tree: Tree, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Yields path and value of every tensor, in the order in which Keras flattens the tree."""
    if not isinstance(tree, tuple):
        yield path, tree
        return
    names = getattr(tree, "_fields", range(len(tree)))
    for name, part in zip(names, tree, strict=True):
        yield from _leaves(part, (*path, str(name)))


def _variable(path: tuple[str, ...], shape: Shape, dtype: Any) -> Any:
    """Returns a variable of zeros that no layer owns."""
    dtype = keras.backend.standardize_dtype(dtype)
    with ExitStack() as scopes:
        for name in path[:-1]:
            scopes.enter_context(keras.name_scope(name))
        return keras.Variable("zeros", shape=shape, dtype=dtype, trainable=False, name=path[-1])


def _flat(x: Tensor) -> Tensor:
    """[B, ..., D] -> [K, D]."""
    return ops.reshape(x, (-1, x.shape[-1]))


def _slot(table: Any, name: str, value: float) -> Any:
    """Returns a variable shaped like a table that no layer owns."""
    with keras.name_scope("sparse"):
        return keras.Variable(
            keras.initializers.Constant(value),
            shape=table.shape,
            dtype=table.dtype,
            trainable=False,
            name=f"{table.path.replace('/', '_')}_{name}",
        )
