"""Attention of recurrent decoders against its equations in float64."""

import functools

import numpy as np
import pytest

from lm.errors import LayerError
from lm.nn.branch import Context
from lm.nn.luong import AdditiveScore, DotScore, GeneralScore, LuongAttention
from tests.built import noise
from tests.catalogue import part
from tests.engine import assert_near, filled, numpy
from tests.nn import reference

X, MEMORY = noise(1, 2, 4), noise(2, 2, 6)
SEEN = np.array([[1] * 6, [1] * 4 + [0] * 2], "bool")


def dot(x, m, w):
    return x @ m.T


def general(x, m, w):
    return x @ w["query/kernel"] @ m.T


def additive(x, m, w):
    both = (x @ w["query/kernel"])[:, None] + (m @ w["key/kernel"])[None]
    return np.tanh(both) @ w["score/vector"]


SCORES = {DotScore: dot, GeneralScore: general, AdditiveScore: additive}


@functools.cache
def branch(score):
    made = LuongAttention(score=part(score), name="attention")
    filled(made, X, Context(memory=MEMORY))
    return made


@pytest.mark.parametrize("score", SCORES)
def test_a_score_and_what_it_reads_are_their_equations(score):
    made = branch(score)
    y, state = made(X, Context(memory=MEMORY, memory_mask=SEEN[:, None, None]))
    assert state == ()
    w = reference.weights(made)
    for found, x, m, seen in zip(numpy(y), X.astype("float64"), MEMORY, SEEN, strict=True):
        weights = reference.softmax(np.where(seen, SCORES[score](x, m, w), -np.inf))
        assert_near(found, np.tanh(np.concatenate([weights @ m, x], -1) @ w["output/kernel"]), 1e-6)


def test_a_stack_without_a_memory_is_refused():
    with pytest.raises(LayerError, match="this stack has none"):
        branch(DotScore)(X, Context())
