"""Scaled dot-product attention: `softmax(q·kᵀ + bias) v`, whole, from a cache, and shared."""

from typing import NamedTuple

from keras import ops

from lm.nn.cache import by_prompt
from lm.types import Layer, Tensor


class KeyValue(NamedTuple):
    """Keys and values, [B, S, H, K] each, or by head [B, H, S, K]."""

    key: Tensor
    value: Tensor


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, bias: Tensor, dropout: Layer
) -> Tensor:
    """Returns `softmax(q·kᵀ + bias) v`, [B, T, H, K]; the softmax runs in float32.

    Args:
        query: [B, T, H, K], already scaled.
        key: [B, S, H, K].
        value: [B, S, H, K].
        mask: bool [B or 1, 1, T, S] or None; what it hides weighs exactly zero.
        bias: float32 [B or 1, H, T, S] or None.
        dropout: layer applied to the attention weights.
    """
    return attend_by_head(query, by_head(key), by_head(value), mask, bias, dropout)


def attend_by_head(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, bias: Tensor, dropout: Layer
) -> Tensor:
    """Returns what `attend` does, from keys and values [B, H, S, K].

    Caches lie by head, as matrix products read them: no step transposes them.
    """
    logits = ops.cast(dot_products(query, key), "float32")  # [B, H, T, S]
    if bias is not None:
        logits = logits + bias
    if mask is not None:
        logits = ops.where(mask, logits, -1e9)
    weights = dropout(ops.cast(ops.softmax(logits), value.dtype))
    return ops.einsum("bhts,bhsk->bthk", weights, value)


def attend_shared(
    query: Tensor, cached: KeyValue, mask: Tensor, bias: Tensor, dropout: Layer
) -> Tensor:
    """Returns what the N sequences of every prompt read in its cache, [B·N, T, H, K].

    Args:
        query: [B·N, T, H, K], already scaled.
        cached: keys and values, [B, H, S, K] each.
        mask: bool [B·N, 1, T or 1, S] or None.
        bias: float32 [B·N, H, T, S] or None.
        dropout: layer applied to the attention weights.
    """
    prompts, length = cached.key.shape[0], query.shape[1]
    if mask is not None and mask.shape[2] < length:
        mask = ops.repeat(mask, length, axis=2)  # [B·N, 1, T, S]
    mask, bias = (None if x is None else by_prompt(x, prompts) for x in (mask, bias))
    together = ops.reshape(query, (prompts, -1, *query.shape[2:]))  # [B, N·T, H, K]
    y = attend_by_head(together, cached.key, cached.value, mask, bias, dropout)
    return ops.reshape(y, query.shape)


def dot_products(query: Tensor, key: Tensor) -> Tensor:
    """Returns `q·kᵀ`, [B, H, T, S], of queries [B, T, H, K] and keys [B, H, S, K].

    For one query it is a product of matrix and vector that reads the keys as they lie. With the
    query first, XLA on a CPU would transpose all keys at every step of a search.
    """
    if query.shape[1] == 1:
        return ops.einsum("bhsk,bhk->bhs", key, query[:, 0])[:, :, None]
    return ops.einsum("bthk,bhsk->bhts", query, key)


def single_head_products(query: Tensor, key: Tensor) -> Tensor:
    """Returns `q·kᵀ`, float32 [B, T, S], of queries [B, T, K] and keys [B, S, K]."""
    return ops.cast(ops.einsum("btk,bsk->bts", query, key), "float32")


def by_head(x: Tensor) -> Tensor:
    """[B, S, H, K] → [B, H, S, K]."""
    return ops.transpose(x, (0, 2, 1, 3))
