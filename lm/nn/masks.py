"""Who may look at whom, as functions of places in the row: a stack is given one of them."""

from typing import Any

from keras import ops


def causal(query: Any, key: Any) -> Any:
    """Returns bool [B or 1, T, S]: a query sees keys at its own place and before.

    >>> print(np.asarray(causal(ops.arange(2)[None], ops.arange(3)[None])))
    [[[ True False False]
      [ True  True False]]]
    """
    return key[:, None, :] <= query[:, :, None]


def bidirectional(query: Any, key: Any) -> Any:
    """Returns bool [B or 1, T, S]: everyone sees everyone."""
    return ops.ones_like(key[:, None, :] + query[:, :, None], dtype="bool")


def same_segment(query: Any, key: Any) -> Any:
    """Returns bool [B, T, S]: packed examples, and padding (segment 0), keep to themselves."""
    return ops.equal(query[:, :, None], key[:, None, :])


def both(query: Any, key: Any) -> Any:
    """Returns bool [B, T, S]: True where query and key are both marked (a bidirectional prefix)."""
    return ops.logical_and(query[:, :, None] > 0, key[:, None, :] > 0)
