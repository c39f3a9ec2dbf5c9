"""A recurrence in parallel against the same one step by step."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from lm.nn.scan import linear_scan, loop
from tests.engine import assert_all_near, assert_near, differentiate, jit, numpy

B, D = 2, 3


def drawn(length, seed=0):
    """Returns decays, some of them 0 and 1, what is added, and h before the first position."""
    rng = np.random.default_rng(seed)
    decay = rng.uniform(0, 1, (B, length, D)) * (rng.uniform(size=(B, length, 1)) > 0.1)
    new, initial = rng.standard_normal((B, length, D)), rng.standard_normal((B, D))
    return [x.astype("float32") for x in (decay, new, initial)]


def sequential(decay, new, initial):
    h, found = initial.astype("float64"), []
    for t in range(decay.shape[1]):
        h = decay[:, t] * h + new[:, t]
        found.append(h)
    return np.stack(found, axis=1)


def in_loop(decay, new, initial):
    h, _ = loop(lambda now, state: (now[0] * state[0] + now[1],), (decay, new), (initial,))
    return h


@functools.cache
def gradients(scan, length):
    """Returns h and the gradients of Σ sin h by all three, compiled."""
    variables = [keras.Variable(x, name=name) for x, name in zip(drawn(length), "abh", strict=True)]

    def loss():
        h = scan(*(v * 1.0 for v in variables))
        return ops.sum(ops.sin(h)), h

    return differentiate(loss, variables, compiled=jit)()


@pytest.mark.parametrize("length", [1, 2, 3, 8, 13])
def test_in_parallel_equals_step_by_step(length):
    given = drawn(length)
    assert_near(numpy(linear_scan(*given)), sequential(*given), 1e-6)


@pytest.mark.parametrize("scan", [linear_scan, in_loop])
def test_both_have_the_values_of_the_recurrence_compiled(scan):
    h, _ = gradients(scan, 13)
    assert_near(h, sequential(*drawn(13)), 1e-6)


@pytest.mark.parametrize("length", [8, 13])
def test_gradients_equal_those_of_the_loop(length):
    assert_all_near(gradients(linear_scan, length)[1], gradients(in_loop, length)[1], 1e-6)


def test_a_decay_of_zero_begins_anew_and_one_of_one_holds():
    decay, new, initial = drawn(9)
    decay[:, 4] = 0
    decay[:, 6:], new[:, 6:] = 1, 0
    h = numpy(linear_scan(decay, new, initial))
    new[:, :4] = 7
    other = numpy(linear_scan(decay, new, -initial))
    np.testing.assert_array_equal(h[:, 4], new[:, 4])
    np.testing.assert_array_equal(h[:, 6:], np.repeat(h[:, 5:6], 3, axis=1))
    np.testing.assert_array_equal(h[:, 4:], other[:, 4:])
