"""Sample-and-rank: of N samples at a temperature, the one the model finds most probable.

The ranking uses the total log-probability at temperature 1, without regard to length.
Source: Adiwardana et al. 2020 (https://arxiv.org/abs/2001.09977), section 3: N = 20, T = 0.88.
"""

from typing import Any

import keras
from keras import ops


def best_first(tree: Any, scores: Any) -> Any:
    """Orders the candidates of every prompt by falling score; ties keep their order.

    Args:
        tree: tensors [B, N, …].
        scores: [B, N].

    Example:
        >>> ranked = best_first(ops.array([[3, 4, 5]]), ops.array([[-2.0, -9.0, -1.0]]))
        >>> ops.convert_to_numpy(ranked).tolist()
        [[5, 3, 4]]
    """
    return take(tree, ops.argsort(-scores, axis=1))


def take(tree: Any, places: Any) -> Any:
    """Returns `x[b, places[b, n]]` of every tensor x [B, K, …] of a tree; places are [B, N]."""

    def one(x: Any) -> Any:
        shape = (*places.shape, *([1] * (len(x.shape) - 2)))
        return ops.take_along_axis(x, ops.reshape(places, shape), axis=1)

    return keras.tree.map_structure(one, tree)
