"""Attention masks as functions of positions; every stack has one."""

from collections.abc import Callable
from typing import TypeAlias

from keras import ops

from lm.parts import part
from lm.types import Tensor

Mask: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""`(query [B or 1, T], key [B or 1, S]) -> bool [B or 1, T, S]`, from positions in the row."""


@part
def causal(query: Tensor, key: Tensor) -> Tensor:
    """Returns bool [B or 1, T, S]: a query sees the keys at its own position and before.

    >>> print(np.asarray(causal(ops.arange(2)[None], ops.arange(3)[None])))
    [[[ True False False]
      [ True  True False]]]
    """
    return key[:, None, :] <= query[:, :, None]


@part
def bidirectional(query: Tensor, key: Tensor) -> Tensor:
    """Returns bool [B or 1, T, S]: every query sees every key."""
    return ops.ones_like(key[:, None, :] + query[:, :, None], dtype="bool")


def same_segment(query: Tensor, key: Tensor) -> Tensor:
    """Returns bool [B, T, S]: True inside a packed example; padding (segment 0) sees padding."""
    return ops.equal(query[:, :, None], key[:, None, :])


def both(query: Tensor, key: Tensor) -> Tensor:
    """Returns bool [B, T, S]: True where query and key are both marked (a bidirectional prefix)."""
    return ops.logical_and(query[:, :, None] > 0, key[:, None, :] > 0)


def sees_ahead(mask: Mask) -> bool:
    """Returns whether a mask lets a query see later positions.

    >>> sees_ahead(causal), sees_ahead(bidirectional)
    (False, True)
    """
    here, ahead = ops.zeros((1, 1), "int32"), ops.ones((1, 1), "int32")
    return bool(ops.convert_to_numpy(mask(here, ahead)).any())
