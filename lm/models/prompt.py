"""Prompts of different lengths in one batch, padded on the right."""

from typing import Any

from keras import ops


def real_tokens(tokens: Any, segments: Any) -> Any:
    """Marks with 1 the tokens that a prefill takes in: all of a row but its last, int32 [B, T].

    The last one is fed by the first step, so that prefill needs no logits and every new token,
    the first too, comes out of the same loop.

    >>> print(np.asarray(real_tokens(ops.array([[0, 7, 8, 0]]), ops.array([[1, 1, 1, 0]]))))
    [[1 1 0 0]]
    """
    count = tokens.shape[1]
    places = ops.arange(count, dtype="int32")[None]
    if segments is None:
        lengths = ops.full((tokens.shape[0], 1), count, dtype="int32")
    else:
        lengths = ops.sum(ops.cast(segments > 0, "int32"), axis=1, keepdims=True)
    return ops.cast(places < lengths - 1, "int32")


def last_token(tokens: Any, index: Any) -> Any:
    """Returns tokens[b, index[b]], int32 [B]."""
    return ops.take_along_axis(tokens, index[:, None], axis=1)[:, 0]
