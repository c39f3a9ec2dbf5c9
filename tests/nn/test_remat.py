"""Computing again in the backward pass changes no value, no gradient and no random state."""

import numpy as np
import pytest
from keras import ops

from lm.nn import masks
from lm.nn.residual import Remat
from lm.nn.stack import Stack
from lm.nn.stack_state import Rows
from tests.built import LENGTH, MEMORY, noise
from tests.catalogue import BIAS, CROSS, GATED, PRE, SANDWICH, part
from tests.engine import assert_near, differentiate, filled, jit, numpy, quick

PLAIN = [PRE, SANDWICH, CROSS, GATED]
SEGMENTS = np.array([[1] * 5 + [2] * 7, [1] * 10 + [0] * 2], "int32")


def stack_of(layers):
    made = part(Stack, num_layers=1, layers=layers, mask=masks.causal, position_bias=BIAS)(
        name="stack"
    )
    return filled(made, noise(0, 2, LENGTH), Rows(memory=MEMORY))


def step(made, training, compiled):
    """Returns output, gradients and random states of one step from the same beginning."""
    x, seeds = noise(1, 2, LENGTH), made.non_trainable_variables
    for seed in seeds:
        seed.assign(np.array([7, 3]))

    def loss():
        y, _ = made(x, Rows(segments=SEGMENTS, memory=MEMORY), training=training)
        return ops.sum(ops.sin(y)), y

    y, found = differentiate(loss, made.trainable_variables, seeds, compiled)()
    return y, found, [numpy(seed.value) for seed in seeds]


@pytest.mark.parametrize("compiled", dict.fromkeys([jit, quick]))
@pytest.mark.parametrize("training", [True, False])
def test_remat_equals_no_remat(training, compiled):
    plain = stack_of(PLAIN)
    again = stack_of([part(Remat, branch=branch) for branch in PLAIN])
    for copy, variable in zip(again.trainable_variables, plain.trainable_variables, strict=True):
        copy.assign(variable)
    y, found, seeds = step(plain, training, compiled)
    z, same, others = step(again, training, compiled)
    assert_near(z, y, 1e-6)
    for gradient, other in zip(found.values(), same.values(), strict=True):
        assert_near(other, gradient, 1e-5)
    np.testing.assert_array_equal(others, seeds)
    assert np.array(seeds).size > 0
