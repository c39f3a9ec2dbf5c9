"""Who may look at whom, as functions of places in the row: a stack is given one of them."""

from collections.abc import Callable
from typing import Any

from keras import ops

from lm.parts import part


@part
def causal(query: Any, key: Any) -> Any:
    """Returns bool [B or 1, T, S]: a query sees keys at its own place and before.

    >>> print(np.asarray(causal(ops.arange(2)[None], ops.arange(3)[None])))
    [[[ True False False]
      [ True  True False]]]
    """
    return key[:, None, :] <= query[:, :, None]


@part
def bidirectional(query: Any, key: Any) -> Any:
    """Returns bool [B or 1, T, S]: everyone sees everyone."""
    return ops.ones_like(key[:, None, :] + query[:, :, None], dtype="bool")


def same_segment(query: Any, key: Any) -> Any:
    """Returns bool [B, T, S]: packed examples, and padding (segment 0), keep to themselves."""
    return ops.equal(query[:, :, None], key[:, None, :])


def both(query: Any, key: Any) -> Any:
    """Returns bool [B, T, S]: True where query and key are both marked (a bidirectional prefix)."""
    return ops.logical_and(query[:, :, None] > 0, key[:, None, :] > 0)


def sees_ahead(mask: Callable[[Any, Any], Any]) -> bool:
    """Tells whether a mask lets a query look at a later place.

    >>> sees_ahead(causal), sees_ahead(bidirectional)
    (False, True)
    """
    here, ahead = ops.zeros((1, 1), "int32"), ops.ones((1, 1), "int32")
    return bool(ops.convert_to_numpy(mask(here, ahead)).any())
