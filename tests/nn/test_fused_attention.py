"""What an accelerator's kernel computes is attention; here Keras' own products stand in for it."""

import numpy as np
import pytest
from keras import ops

from lm.nn import fused_attention
from lm.nn.attention import SelfAttention
from lm.nn.branch import Context
from lm.nn.dropout import Dropout
from lm.nn.fused_attention import is_fused
from tests.built import noise
from tests.engine import assert_all_near, assert_near, differentiate, filled

B, T, H, K = 2, 6, 2, 4
X = noise(0, B, T)
SEGMENTS = np.array([[1] * 4 + [2] * 2, [1] * 6])
PACKED = (SEGMENTS[:, :, None] == SEGMENTS[:, None]) & np.tril(np.ones((T, T), bool))
NARROW_ROWS = ops.ones((B, T, H, K), "bfloat16"), ops.ones((B, H, T, K), "bfloat16")
KEPT = Dropout(rate=0.0, name="kept")


@pytest.mark.parametrize("mask", [None, PACKED[:, None]])
def test_values_and_gradients_are_those_of_the_products(monkeypatch, mask):
    layer = SelfAttention(num_heads=H, name="attention")
    filled(layer, X, Context())

    def loss():
        y, _ = layer(X, Context(mask=mask))
        return ops.sum(ops.sin(y)), y

    step = differentiate(loss, layer.trainable_variables)
    y, gradients = step()
    calls = []
    monkeypatch.setattr(fused_attention, "has_kernel", lambda: calls.append(1) or True)
    monkeypatch.setattr(fused_attention, "NARROW", ("float32",))
    z, same = differentiate(loss, layer.trainable_variables)()
    assert calls
    assert_near(z, y, 1e-6)
    assert_all_near(same, gradients, 1e-5)


def test_the_kernel_takes_whole_narrow_rows_without_bias_and_dropout(monkeypatch):
    monkeypatch.setattr(fused_attention, "has_kernel", lambda: True)
    query, key = NARROW_ROWS
    assert is_fused(query, key, None, KEPT)
    assert not is_fused(query[:, :1], key, None, KEPT)  # a step of a search
    assert not is_fused(ops.cast(query, "float32"), key, None, KEPT)
    assert not is_fused(query, key, ops.zeros((1, H, T, T)), KEPT)


def test_dropout_keeps_the_products_in_training_alone(monkeypatch):
    monkeypatch.setattr(fused_attention, "has_kernel", lambda: True)
    monkeypatch.setattr(fused_attention, "NARROW", ("float32",))
    found = []
    monkeypatch.setattr(
        "lm.nn.projections.is_fused", lambda *given: found.append(is_fused(*given)) or False
    )
    layer = SelfAttention(num_heads=H, dropout=0.5, name="attention")
    for training in (False, True):
        layer(X, Context(), training=training)
    assert found == [True, False]
