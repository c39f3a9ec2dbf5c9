"""The carry, which a model hands from one batch to the next, as variables of the training state.

Its leading axis is the rows of a batch: row r of a batch gets what row r of the last one left.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import keras
from keras import ops

from lm.nn.branch import State
from lm.objectives.carry import count_continuing_rows
from lm.types import Features, Shape, Tensor, Tree


class Carry:
    """The carry of training, as variables that are named by where they are used.

    Args:
        objective: built; its variables need no values.
        features: as of `count_continuing_rows`.
    """

    def __init__(self, objective: Any, features: Features) -> None:
        rows = count_continuing_rows(features)
        # With 0 rows the tree and the dtypes are the same, and nothing is allocated yet.
        self._tree = objective.initial_carry(0) if rows else ()
        leaves = _leaves(self._tree, ("carry",))
        self.variables = [_variable(path, (rows, *x.shape[1:]), x.dtype) for path, x in leaves]

    def packed(self, values: Sequence[Tensor]) -> State:
        """Return values, in the order of the variables, as the tree that a model takes."""
        return keras.tree.pack_sequence_as(self._tree, values) if self.variables else ()

    def assign(self, values: Sequence[Tensor]) -> None:
        """Give every variable its value."""
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)

    def reset(self) -> None:
        """Set it to zeros: every row starts fresh."""
        self.assign([ops.zeros(v.shape, v.dtype) for v in self.variables])

    def lay(self, layout: Any) -> None:
        """Split the rows over the devices of a mesh; Keras' layouts go by path alone."""
        for variable in self.variables:
            variable._layout = layout
        self.reset()


def _leaves(tree: Tree, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Yield path and value of every tensor, in the order in which Keras flattens the tree."""
    if not isinstance(tree, tuple):
        yield path, tree
        return
    names = getattr(tree, "_fields", range(len(tree)))
    for name, part in zip(names, tree, strict=True):
        yield from _leaves(part, (*path, str(name)))


def _variable(path: tuple[str, ...], shape: Shape, dtype: Any) -> Any:
    """Return a variable of zeros that no layer owns."""
    dtype = keras.backend.standardize_dtype(dtype)
    with ExitStack() as scopes:
        for name in path[:-1]:
            scopes.enter_context(keras.name_scope(name))
        return keras.Variable("zeros", shape=shape, dtype=dtype, trainable=False, name=path[-1])
