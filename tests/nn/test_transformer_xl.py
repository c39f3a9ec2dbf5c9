"""Attention with a memory against its equations."""

import numpy as np
import pytest

from lm.errors import LayerError
from lm.nn import masks, stack
from lm.nn.stack_state import Rows
from lm.nn.transformer_xl import MemoryAttention
from tests.catalogue import WIDTH, part
from tests.engine import assert_near, filled, numpy
from tests.nn import reference

B, T, M, H, K = 2, 5, 4, 2, 6
NOISE = np.random.default_rng(0)
X, BEFORE = (NOISE.standard_normal((B, n, WIDTH)).astype("float32") for n in (T, M))
LAYER = part(MemoryAttention, num_heads=H, head_dim=K, memory_length=M)


def attend(w, x, memory):
    """softmax(((q + u)·k + (q + v)·R W_r) K^-0.5) v · W_o of one row, in float64."""
    read = np.concatenate([memory, x]).astype("float64")
    q, k, v = (
        (rows @ w[f"{name}/kernel"]).reshape(-1, H, K)
        for name, rows in (("query", x), ("key", read), ("value", read))
    )
    y = np.zeros((len(x), H, K))
    frequencies = 10_000.0 ** (-np.arange(0, WIDTH, 2) / WIDTH)
    for t in range(len(x)):
        keys = range(len(memory) + t + 1)
        angles = np.array([(len(memory) + t - s) * frequencies for s in keys])
        sinusoids = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
        r = np.einsum("nd,dhk->nhk", sinusoids, w["layer_0_0/distance_kernel"])
        u, d = w["layer_0_0/content_bias"], w["layer_0_0/distance_bias"]
        logits = np.einsum("hk,nhk->hn", q[t] + u, k[: len(keys)])
        logits = (logits + np.einsum("hk,nhk->hn", q[t] + d, r)) * K**-0.5
        weights = np.exp(logits - logits.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        y[t] = np.einsum("hn,nhk->hk", weights, v[: len(keys)])
    return y.reshape(len(x), -1) @ w["output/kernel"]


@pytest.fixture(scope="module")
def made():
    made = stack.Stack(num_layers=1, layers=[LAYER], mask=masks.causal, name="stack")
    filled(made, X)
    return made


def test_it_is_the_equations_with_and_without_a_memory(made):
    w = reference.weights(made)
    y, _ = made(X)
    assert_near(y, [attend(w, x, x[:0]) for x in X], 1e-6)
    ones = np.ones((B, M), "int32")
    fresh, on = np.zeros(B, "int32"), np.ones(B, "int32")
    _, carry = made(BEFORE, Rows(segments=ones, carried=fresh), state=made.initial_carry(B))
    np.testing.assert_array_equal(numpy(carry.residuals[0].inputs), BEFORE)
    y, carry = made(X, Rows(carried=on), state=carry)
    assert_near(y, [attend(w, x, m) for x, m in zip(X, BEFORE, strict=True)], 1e-6)
    np.testing.assert_array_equal(numpy(carry.residuals[0].inputs), X[:, -M:])  # evicted in order
    np.testing.assert_array_equal(numpy(carry.positions), M + T)


def test_without_memory_nothing_is_carried():
    layer = part(MemoryAttention, num_heads=H, memory_length=0)
    made = stack.Stack(num_layers=1, layers=[layer], mask=masks.causal, name="stack")
    made(X)
    assert made.initial_carry(B) == ()


def test_an_odd_width_is_refused():
    layer = MemoryAttention(num_heads=1, memory_length=M, name="attention")
    with pytest.raises(LayerError, match="an even width, got HIDDEN_DIM = 7"):
        layer.build((B, T, 7))
