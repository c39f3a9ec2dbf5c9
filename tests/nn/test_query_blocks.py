"""A block of queries at a time, attention is what it is at once: values, gradients, dropout."""

import keras
import numpy as np
import pytest
from keras import ops

from lm.engines.flops import matmul_flops
from lm.nn import query_blocks
from lm.nn.attention import SelfAttention
from lm.nn.branch import Context
from lm.nn.dropout import Dropout
from tests.built import noise
from tests.engine import assert_all_near, assert_near, differentiate, filled, jit, numpy, quick

B, T, H, RATE = 2, 10, 2, 0.25
X = noise(0, B, T)
SEGMENTS = np.array([[1] * 4 + [2] * 6, [1] * 7 + [0] * 3])
CAUSAL = np.tril(np.ones((T, T), bool))
PACKED = ((SEGMENTS[:, :, None] == SEGMENTS[:, None]) & CAUSAL)[:, None]
PREFIX = (np.arange(T) < 6)[None, None, None]  # of keys, the same for all queries
BIAS = np.random.default_rng(1).standard_normal((1, H, T, T)).astype("float32")
SEED = np.array([7, 3])


def cut(monkeypatch):
    """Has more than two queries attend in blocks of at most four: 4, 4 and 2 of T."""
    monkeypatch.setattr(query_blocks, "LONGEST_AT_ONCE", 2)
    monkeypatch.setattr(query_blocks, "BLOCK", 4)


def layer(dropout=0.0):
    made = SelfAttention(num_heads=H, dropout=dropout, name="attention")
    filled(made, X, Context())
    return made


def step(made, mask, bias, *, training=False, compiled=jit):
    """Returns outputs, gradients, and the seeds after it."""
    table = keras.Variable(np.zeros((1, H, T, T), "float32") if bias is None else bias, name="bias")
    seeds = made.non_trainable_variables
    for seed in seeds:
        seed.assign(SEED)

    def loss():
        context = Context(mask=mask, position_bias=None if bias is None else table.value)
        y, _ = made(X, context, training=training)
        return ops.sum(ops.sin(y)), y

    y, found = differentiate(loss, [*made.trainable_variables, table], seeds, compiled)()
    return y, found, [numpy(seed.value) for seed in seeds]


CASES = [pytest.param(PREFIX, None, marks=pytest.mark.slow)]
CASES += [pytest.param(None, BIAS, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("mask", "bias"), [(PACKED, BIAS), *CASES])
def test_values_and_gradients_are_those_of_all_queries_at_once(monkeypatch, mask, bias):
    made = layer()
    y, found, _ = step(made, mask, bias)
    cut(monkeypatch)
    z, same, _ = step(made, mask, bias)
    assert_near(z, y, 1e-6)
    assert_all_near(same, found, 1e-5)


def test_dropout_draws_for_every_block_and_only_in_training(monkeypatch):
    cut(monkeypatch)
    made = layer(RATE)
    y, _, [seed] = step(made, PACKED, None, compiled=quick)
    np.testing.assert_array_equal(seed, SEED)
    z, _, [seed] = step(made, PACKED, None, training=True, compiled=quick)
    assert not np.allclose(z, y)
    made.dropout.seed.state.assign(SEED)
    for _ in range(3):
        made.dropout.seed.next()
    np.testing.assert_array_equal(seed, numpy(made.dropout.seed.state.value))


def test_all_products_are_counted(monkeypatch):
    made = layer()
    rows = {"x": keras.KerasTensor(X.shape, "float32")}
    whole = matmul_flops(lambda features: made(features["x"], Context())[0], rows)
    cut(monkeypatch)
    assert matmul_flops(lambda features: made(features["x"], Context())[0], rows) == whole


def test_what_is_dropped_in_a_block_weighs_nothing_and_the_rest_more(monkeypatch):
    cut(monkeypatch)
    dropout = Dropout(rate=RATE, name="dropout")
    dropout(np.zeros((1, 1), "float32"), training=True)
    key = ops.cast(SEED, "uint32")
    found = numpy(dropout.dropped(np.ones((4, 1000), "float32"), key))
    assert set(np.unique(found)) == {0.0, np.float32(1 / (1 - RATE))}
    assert abs(found.mean() - 1) < 0.05
