"""The feed-forward family against NumPy."""

import numpy as np
import pytest
from keras import activations

from lm.nn.branch import Context
from lm.nn.feedforward import FeedForward, GatedFeedForward, gelu_erf, gelu_tanh
from tests.built import noise
from tests.engine import assert_near, filled, numpy
from tests.nn import reference

X = noise(1, 2, 7)
ACTIVATIONS = {
    "relu": (activations.relu, lambda x: np.maximum(x, 0)),
    "sigmoid": (activations.sigmoid, reference.sigmoid),
    "swish": (activations.silu, lambda x: x * reference.sigmoid(x)),
    "gelu_erf": (gelu_erf, reference.gelu_erf),
    "gelu_tanh": (gelu_tanh, reference.gelu_tanh),
}
every = pytest.mark.parametrize("name", ACTIVATIONS)


def made(factory, activation, **arguments):
    layer = factory(intermediate_dim=24, activation=activation, name="ff", **arguments)
    filled(layer, X, Context())
    return layer, reference.weights(layer)


@every
def test_feed_forward(name):
    ours, theirs = ACTIVATIONS[name]
    layer, w = made(FeedForward, ours)
    hidden = theirs(X @ w["hidden/kernel"] + w["hidden/bias"])
    assert_near(layer(X, Context())[0], hidden @ w["output/kernel"] + w["output/bias"], 1e-6)


@every
def test_gated_feed_forward(name):
    ours, theirs = ACTIVATIONS[name]
    layer, w = made(GatedFeedForward, ours)
    hidden = theirs(X @ w["gate/kernel"]) * (X @ w["hidden/kernel"])
    assert_near(layer(X, Context())[0], hidden @ w["output/kernel"], 1e-6)


def test_the_two_gelus_differ_by_what_is_known():
    x = np.linspace(-5, 5, 10_001).astype("float32")
    gap = np.abs(numpy(gelu_erf(x)) - numpy(gelu_tanh(x)))
    assert gap.max() == pytest.approx(4.73e-4, abs=1e-6)
    # The maximum is flat: float32 moves its place by a few hundredths.
    assert abs(x[gap.argmax()]) == pytest.approx(2.70, abs=0.05)
