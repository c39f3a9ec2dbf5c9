"""Attention of whole rows in an accelerator's own kernel, without logits [B, H, T, S] in memory.

On JAX and an NVIDIA GPU `keras.ops.dot_product_attention` calls cuDNN's kernel where it supports
the shapes, else XLA's products. The kernel takes bfloat16 and float16, its softmax runs in float32.
A bias would be rounded to the queries' type, and dropout would draw from another generator, so rows
with either keep to `lm.nn.projections.attend_at_once`.
"""

import keras
from keras import ops

from lm.types import Layer, Tensor

NARROW = ("bfloat16", "float16")


def has_kernel() -> bool:
    """Returns whether the engine has such a kernel on this machine."""
    on_jax = keras.backend.backend() == "jax"
    return on_jax and keras.distribution.list_devices()[0].startswith("gpu")


def is_fused(query: Tensor, key: Tensor, bias: Tensor | None, dropout: Layer) -> bool:
    """Returns whether the kernel attends for queries [B, T, H, K] to keys [B, H, S, K].

    It does for whole rows (T = S), not for the steps of a search.
    """
    whole = query.shape[1] == key.shape[2]
    narrow = keras.backend.standardize_dtype(query.dtype) in NARROW
    return whole and narrow and bias is None and not dropout.is_active() and has_kernel()


def attend_fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Returns `softmax(q·kᵀ) v`, [B, T, H, K].

    Args:
        query: [B, T, H, K], already scaled.
        key: [B, H, S, K].
        value: [B, H, S, K].
        mask: bool [B or 1, 1, T or 1, S] or None.
    """
    key, value = (ops.transpose(x, (0, 2, 1, 3)) for x in (key, value))  # [B, S, H, K]
    return ops.dot_product_attention(query, key, value, mask=mask, scale=1.0)
