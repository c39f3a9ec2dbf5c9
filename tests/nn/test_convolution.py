"""Convolutions against NumPy: taps, borders, tails, reach, and what is refused."""

import functools

import numpy as np
import pytest

from lm.nn.branch import Context
from lm.nn.convolution import CausalConvolution, Convolution, SeparableConvolution, around
from tests.built import noise
from tests.catalogue import WIDTH
from tests.engine import assert_near, filled, numpy
from tests.nn import reference

B, T = 2, 9
X = noise(1, B, T)
SEGMENTS = np.array([[1] * 4 + [2] * 5, [1] * 2 + [2] * 5 + [0] * 2], "int32")


def near(x, offset, segments):
    """Returns x_{t + offset} of the same segment, else 0, one position at a time."""
    y = np.zeros(x.shape, "float64")
    for b, t in np.ndindex(*x.shape[:2]):
        s = t + offset
        if 0 <= s < x.shape[1] and segments[b, s] == segments[b, t]:
            y[b, t] = x[b, s]
    return y


@functools.cache
def causal(kernel_size):
    layer = CausalConvolution(kernel_size=kernel_size, name="convolution")
    filled(layer, X, Context())
    return layer


def test_the_initial_taps_of_primer():
    ramp = np.repeat([[[1.0], [2.0], [3.0], [4.0]]], 2, axis=2)
    y, _ = CausalConvolution(name="convolution")(ramp, Context())
    assert_near(y[0, :, 0], [0.5, 1 + 1 / 6, 2.0, 2 + 5 / 6], 1e-6)


@pytest.mark.parametrize("kernel_size", [1, 3, 20])
def test_causal_convolution(kernel_size):
    layer = causal(kernel_size)
    taps = reference.weights(layer)["convolution/taps"]
    wanted = sum(tap * near(X, -j, SEGMENTS) for j, tap in enumerate(taps))
    y, state = layer(X, Context(segments=SEGMENTS))
    assert_near(y, wanted, 1e-6)
    assert state == ()


def test_split_into_heads_or_not_is_the_same():
    flat, heads = causal(3), CausalConvolution(name="convolution")
    heads(X.reshape(B, T, 4, -1), Context())
    heads.taps.assign(numpy(flat.taps).reshape(3, 4, -1))
    y, _ = heads(X.reshape(B, T, 4, -1), Context(segments=SEGMENTS))
    assert_near(numpy(y).reshape(X.shape), flat(X, Context(segments=SEGMENTS))[0], 1e-6)


def test_a_convolution_mixes_its_neighbours():
    layer = Convolution(filters=5, name="convolution")
    filled(layer, around(X, 3, None))
    w = reference.weights(layer)
    kernel, bias = w["convolution/kernel"], w["convolution/bias"]
    wanted = sum(near(X, j - 1, SEGMENTS) @ kernel[j] for j in range(3)) + bias
    assert_near(layer(around(X, 3, SEGMENTS)), wanted, 1e-6)


def test_a_separable_convolution_filters_then_mixes():
    layer = SeparableConvolution(filters=5, name="convolution")
    filled(layer, around(X, 5, None))
    w = reference.weights(layer)
    filtered = sum(w["convolution/taps"][j, :, 0] * near(X, j - 2, SEGMENTS) for j in range(5))
    wanted = filtered @ w["pointwise/kernel"] + w["pointwise/bias"]
    assert_near(layer(around(X, 5, SEGMENTS)), wanted, 1e-6)


def test_prompts_shorter_than_the_tail_go_on_where_they_ended():
    """Rows of 0, 1 and 5 real positions of 6, then two at once, then one: equal to all at once."""
    layer, x, prompts = causal(5), noise(2, 3, 8), np.array([0, 1, 5])
    whole = numpy(layer(x, Context())[0])
    real = (np.arange(6) < prompts[:, None]).astype("int32")
    at_start = {"positions": np.arange(6, dtype="int32")[None], "carried": np.ones(3, "int32")}
    context = Context(segments=real, **at_start)
    y, tail = layer(x[:, :6], context, state=layer.initial_state(3, 8))
    assert_near(numpy(y)[real > 0], whole[:, :6][real > 0], 1e-6)
    for new in (2, 1):
        positions = (prompts[:, None] + np.arange(new))[..., None]
        y, tail = layer(np.take_along_axis(x, positions, axis=1), Context(), state=tail)
        assert_near(y, np.take_along_axis(whole, positions, axis=1), 1e-6)
        prompts += new
    assert numpy(tail).shape == (3, 4, WIDTH)


def test_not_even_a_nan_crosses_a_border():
    x = np.where(SEGMENTS[..., None] == 1, X, np.nan).astype("float32")
    y = numpy(causal(3)(x, Context(segments=SEGMENTS))[0])
    assert np.isfinite(y[SEGMENTS == 1]).all()
    both = [numpy(one) for one in around(x, 5, SEGMENTS)]
    assert all(np.isfinite(one[SEGMENTS == 1]).all() for one in both)


def test_a_filter_without_taps_is_refused():
    with pytest.raises(ValueError, match=r"CausalConvolution\.kernel_size must be at least 1"):
        CausalConvolution(kernel_size=0, name="convolution")
