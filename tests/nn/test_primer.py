"""Primer's parts against NumPy, what they reduce to, and its ablations as single bindings."""

import keras
import numpy as np
import pytest
from keras import ops

from lm.nn.attention import SelfAttention
from lm.nn.branch import Context
from lm.nn.convolution import CausalConvolution
from lm.nn.feedforward import squared_relu
from lm.nn.norm import LayerNorm
from lm.nn.primer import PrimerNorm, SharedHeads
from tests.built import noise
from tests.catalogue import WIDTH
from tests.engine import assert_near, differentiate, filled, numpy
from tests.nn import reference

B, T, H, K = 2, 7, 2, 6
X = noise(1, B, T)
CAUSAL = np.tril(np.ones((B, T, T), bool))
CONTEXT = Context(mask=CAUSAL[:, None])


def attention(**arguments):
    layer = SelfAttention(
        num_heads=H,
        head_dim=K,
        use_bias=False,
        scale=1.0,
        after_projection=CausalConvolution,
        name="attention",
        **arguments,
    )
    filled(layer, X, CONTEXT)
    return layer, reference.weights(layer)


def convolved(x, w, name):
    """[B, T, D] → [B, T, H, K]: projection, then a0 x_t + a1 x_{t-1} + a2 x_{t-2}."""
    u = (x @ w[f"{name}/kernel"]).reshape(B, T, H, K)
    padded = np.pad(u, [(0, 0), (2, 0), (0, 0), (0, 0)])
    return sum(tap * padded[:, 2 - j : 2 - j + T] for j, tap in enumerate(w[f"after_{name}/taps"]))


def attended(query, key, value, w):
    logits = np.where(CAUSAL[:, None], np.einsum("bthk,bshk->bhts", query, key), -np.inf)
    y = np.einsum("bhts,bshk->bthk", reference.softmax(logits), value)
    return y.reshape(B, T, H * K) @ w["output/kernel"]


def test_convolved_attention():
    layer, w = attention()
    query, key, value = (convolved(X, w, name) for name in ("query", "key", "value"))
    assert_near(layer(X, CONTEXT)[0], attended(query, key, value, w), 1e-6)


def test_shared_query_and_key():
    layer, w = attention(heads=SharedHeads)
    key, value = convolved(X, w, "query"), convolved(X, w, "value")
    query = (key.reshape(B, T, H * K) @ w["mix/kernel"]).reshape(B, T, H, K)
    assert_near(layer(X, CONTEXT)[0], attended(query, key, value, w), 1e-6)


def test_the_value_reaches_two_positions_on_where_each_sees_itself_alone():
    layer, _ = attention()
    alone, other = Context(mask=np.eye(T, dtype=bool)[None, None]), X.copy()
    other[:, 3] += 1
    moved = numpy(layer(X, alone)[0]) != numpy(layer(other, alone)[0])
    assert np.flatnonzero(moved.any((0, 2))).tolist() == [3, 4, 5]


def test_identity_taps_leave_the_plain_attention():
    layer, w = attention()
    for branch in layer.after:
        branch.taps.assign(np.eye(3)[0][:, None, None] * np.ones((3, H, K)))
    wanted = reference.attention(X, X, w, H, 1.0, CAUSAL)
    assert_near(layer(X, CONTEXT)[0], wanted, 1e-6)


def test_the_norm_is_a_layer_norm():
    ours, theirs = PrimerNorm(epsilon=1e-6, name="ours"), LayerNorm(epsilon=1e-6, name="theirs")
    for norm in (ours, theirs):
        norm(X)
        norm.scale.assign(np.linspace(0.5, 2, WIDTH))
        norm.bias.assign(np.linspace(-1, 1, WIDTH))
    assert_near(ours(3 * X + 1), theirs(3 * X + 1), 1e-6)
    ramp = np.array([[1.0, 2.0, 3.0, 4.0]])
    y = numpy(PrimerNorm(epsilon=0.0, name="norm")(ramp))
    assert_near(y, (ramp - 2.5) / 1.25**0.5, 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_norm_of_a_large_mean_is_finite(dtype):
    """The pseudo-variance of these rounds to less than zero, of most by more than epsilon."""
    x = ops.cast(1e4 * np.sign(noise(2, 64, 1)[..., :1]) + 1e-3 * noise(3, 64, 1), dtype)
    assert np.isfinite(numpy(PrimerNorm(name="norm")(x))).all()


def test_squared_relu_and_its_derivative():
    x = keras.Variable(np.array([-2.0, -0.5, 0.0, 0.5, 3.0], "float32"), name="x")
    y, found = differentiate(lambda: (ops.sum(squared_relu(x * 1.0)), squared_relu(x * 1.0)), [x])()
    assert_near(y, [0, 0, 0, 0.25, 9], 1e-6)
    assert_near(found["x"], [0, 0, 0, 1, 6], 1e-6)
