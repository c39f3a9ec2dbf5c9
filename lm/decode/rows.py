"""Several texts of one prompt: how the rows of a state are repeated, spread and reordered.

A state is a tree whose tensors lead with the batch axis. B prompts with N texts each make R = B · N
rows, the texts of a prompt next to each other. What is `Shared` is never touched.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from lm.nn.cache import NEVER, Cache, Shared, Slots


def repeat(tree: Any, texts: int) -> Any:
    """Gives every prompt N rows with caches of their own: for texts that never meet again."""
    if texts == 1:
        return tree
    more = repeated(texts)
    return map_rows(tree, more, {Slots: lambda x: Slots(more(x.places), more(x.is_own), x.next)})


def spread(tree: Any, texts: int, room: int) -> Any:
    """Gives every prompt N rows that share its caches, which get `room` slots for each text.

    The caches have that room for one text already.
    """
    added = (texts - 1) * room
    more = repeated(texts)

    def widened(cache: Cache) -> Cache:
        padding = [[0, 0], [0, 0], [0, added], [0, 0]]
        return keras.tree.map_structure(lambda x: ops.pad(x, padding), cache)

    def table(slots: Slots) -> Slots:
        places = ops.pad(slots.places, [[0, 0], [0, added]], constant_values=NEVER)
        is_own = ops.tile(ops.eye(texts, dtype="bool"), (places.shape[0], 1))
        return Slots(more(places), is_own, slots.next)

    return map_rows(tree, more, {Cache: widened, Slots: table})


def reorder(tree: Any, parents: Any) -> Any:
    """Gives every text of a spread state the past of its parent, int32 [B, N].

    What the caches hold stays where it is: a text takes over its parent's table of places.
    """
    prompts, texts = parents.shape
    rows = ops.arange(prompts, dtype="int32")[:, None] * texts + parents
    rows = ops.reshape(rows, (-1,))

    def inherited(x: Any) -> Any:
        return ops.take(x, rows, axis=0)

    return map_rows(
        tree,
        inherited,
        {
            Cache: lambda cache: cache,
            Slots: lambda slots: slots._replace(places=inherited(slots.places)),
        },
    )


def repeated(texts: int) -> Callable[[Any], Any]:
    """Returns `x [B, …] -> [B · N, …]`."""
    return lambda x: ops.repeat(x, texts, axis=0)


def map_rows(tree: Any, function: Callable[[Any], Any], kinds: dict[type, Any]) -> Any:
    """Applies a function to every tensor of a state, and others to its parts of certain kinds."""
    kinds = {Shared: lambda shared: shared, **kinds}

    def one(x: Any) -> Any:
        if type(x) in kinds:
            return kinds[type(x)](x)
        return None if keras.tree.is_nested(x) else function(x)  # None: look inside

    return keras.tree.traverse(one, tree)
