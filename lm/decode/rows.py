"""The rows of a search state, with several sequences per prompt: repeat, expand, reorder, rank.

A state is a tree of tensors whose first axis is the batch. B prompts with N sequences each make
R = B · N rows; the sequences of a prompt are adjacent. `Shared` parts are left unchanged.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from lm.nn.cache import NEVER, Cache, Shared, Slots
from lm.types import Tensor, Tree


def repeat(tree: Tree, sequences: int) -> Tree:
    """Gives every prompt N rows with caches of their own, for independent samples."""
    if sequences == 1:
        return tree
    more = repeated(sequences)
    return map_rows(tree, more, {Slots: lambda x: Slots(more(x.positions), more(x.is_own), x.next)})


def expand(tree: Tree, sequences: int, new_slots: int) -> Tree:
    """Gives every prompt N rows that share its caches, for beam search.

    The caches already have `new_slots` slots for one sequence and get as many for each other one.
    """
    added = (sequences - 1) * new_slots
    more = repeated(sequences)

    def widened(cache: Cache) -> Cache:
        padding = [[0, 0], [0, 0], [0, added], [0, 0]]
        return keras.tree.map_structure(lambda x: ops.pad(x, padding), cache)

    def table(slots: Slots) -> Slots:
        positions = ops.pad(slots.positions, [[0, 0], [0, added]], constant_values=NEVER)
        is_own = ops.tile(ops.eye(sequences, dtype="bool"), (positions.shape[0], 1))
        return Slots(more(positions), is_own, slots.next)

    return map_rows(tree, more, {Cache: widened, Slots: table})


def reorder(tree: Tree, parents: Tensor) -> Tree:
    """Replaces the history of every sequence by that of its parent, int32 [B, N].

    Keys and values stay in their slots; only the tables of positions are copied.
    """
    prompts, sequences = parents.shape
    rows = ops.arange(prompts, dtype="int32")[:, None] * sequences + parents
    rows = ops.reshape(rows, (-1,))  # [R]

    def inherited(x: Tensor) -> Tensor:
        return ops.take(x, rows, axis=0)

    return map_rows(
        tree,
        inherited,
        {
            Cache: lambda cache: cache,
            Slots: lambda slots: slots._replace(positions=inherited(slots.positions)),
        },
    )


def repeated(sequences: int) -> Callable[[Tensor], Tensor]:
    """Returns `x [B, …] -> [B · N, …]`."""
    return lambda x: ops.repeat(x, sequences, axis=0)


def map_rows(tree: Tree, function: Callable[[Tensor], Tensor], kinds: dict[type, Any]) -> Tree:
    """Applies a function to every tensor of a state, and others to parts of given types."""
    kinds = {Shared: lambda shared: shared, **kinds}

    def one(x: Any) -> Any:
        if type(x) in kinds:
            return kinds[type(x)](x)
        return None if keras.tree.is_nested(x) else function(x)  # None: descend

    return keras.tree.traverse(one, tree)


def best_first(tree: Tree, scores: Tensor) -> Tree:
    """Sorts the sequences of every prompt by score, highest first; ties keep their order.

    Args:
        tree: tensors [B, N, …].
        scores: [B, N].

    Example:
        >>> ranked = best_first(ops.array([[3, 4, 5]]), ops.array([[-2.0, -9.0, -1.0]]))
        >>> ops.convert_to_numpy(ranked).tolist()
        [[5, 3, 4]]
    """
    return gather(tree, ops.argsort(-scores, axis=1))


def gather(tree: Tree, indices: Tensor) -> Tree:
    """Returns `x[b, indices[b, n]]` of every tensor x [B, K, …] of a tree; indices are [B, N]."""

    def one(x: Tensor) -> Tensor:
        shape = (*indices.shape, *([1] * (len(x.shape) - 2)))
        return ops.take_along_axis(x, ops.reshape(indices, shape), axis=1)

    return keras.tree.map_structure(one, tree)
