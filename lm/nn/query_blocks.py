"""Attention over long sequences, in blocks of queries.

    y_t = softmax(q_t·Kᵀ + b_t) V

depends on no query but q_t. So a loop over blocks of queries, each with all keys, gives the same
result without ever holding the full logits [B, H, T, S]: the backward pass recomputes those of a
block. Each softmax still sees all keys, so no partial results need to be combined.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import partial

import keras
from keras import ops

from lm.scoped import scoped
from lm.types import Layer, Tensor

LONGEST_AT_ONCE = 4096  # up to this length, blocks are slower on a CPU
BLOCK = 512
_AT_ONCE: ContextVar[bool] = ContextVar("at_once", default=False)


def at_once() -> AbstractContextManager[None]:
    """Disables blocks at any length: for models that are traced for counting, not run."""
    return scoped(_AT_ONCE, value=True)


def is_long(query: Tensor) -> bool:
    """Returns whether queries [B, T, H, K] are long enough to be processed in blocks."""
    return query.shape[1] > LONGEST_AT_ONCE and not _AT_ONCE.get()


def attend_in_blocks(
    attend: Callable[..., Tensor],
    query: Tensor,
    key_value: Sequence[Tensor],
    mask: Tensor,
    bias: Tensor,
    dropout: Layer,
) -> Tensor:
    """Returns the result of `attend(query, *key_value, mask, bias, dropout)`, [B, T, H, K].

    Dropout is drawn separately for each block.

    Args:
        attend: called with query, mask and bias of a block, and a function in place of dropout.
        query: [B, T, H, K].
        key_value: keys and values, used by all blocks.
        mask: bool [B or 1, 1, T or 1, S] or None.
        bias: float32 [B or 1, H, T, S] or None.
        dropout: layer applied to the attention weights.
    """
    length = query.shape[1]
    count = -(-length // BLOCK)  # N
    parts = {"query": in_blocks(query, count, axis=1), "key": dropout.keys(count)}
    shared = {"mask": mask, "bias": bias}
    for name, x in shared.items():
        if x is not None and x.shape[2] == length:
            parts[name] = in_blocks(x, count, axis=2)
    parts = {name: x for name, x in parts.items() if x is not None}

    def one(part: dict[str, Tensor]) -> Tensor:
        own = {**shared, **part}
        drop = partial(dropout.dropped, key=part["key"]) if "key" in part else _unchanged
        floats = [own["query"], *key_value, *([] if bias is None else [own["bias"]])]

        def run(query: Tensor, key: Tensor, value: Tensor, bias: Tensor = None) -> Tensor:
            return attend(query, key, value, own["mask"], bias, drop)

        return keras.remat(run)(*floats)

    y = ops.moveaxis(ops.map(one, parts), 0, 1)  # [B, N, T / N, H, K]
    return ops.reshape(y, (-1, y.shape[1] * y.shape[2], *query.shape[2:]))[:, :length]


def in_blocks(x: Tensor, count: int, *, axis: int) -> Tensor:
    """Splits an axis into equal blocks, which become the first axis; the last is zero-padded.

    >>> print(np.asarray(in_blocks(ops.arange(1, 6)[None], 2, axis=1)))
    [[[1 2 3]]
    <BLANKLINE>
     [[4 5 0]]]
    """
    length = x.shape[axis]
    size = -(-length // count)
    if size * count > length:
        missing = (size * count - length if i == axis else 0 for i in range(len(x.shape)))
        x = ops.pad(x, [(0, zeros) for zeros in missing])
    shape = (-1, *x.shape[1:axis], count, size, *x.shape[axis + 1 :])
    return ops.moveaxis(ops.reshape(x, shape), axis, 0)


def _unchanged(x: Tensor) -> Tensor:
    """Returns x: no dropout."""
    return x
