"""The gradient of an LSTM over a row: the same as that of its steps in a loop."""

import keras
import numpy as np
from keras import ops

from lm.nn.cells import LSTM, HiddenAndMemory, in_turn
from lm.nn.scan import Flow
from tests.engine import assert_near, differentiate, fill, jit

B, T, D = 3, 7, 4
DRAW = np.random.default_rng(0)
WEIGHTS = (
    DRAW.standard_normal((B, T, D)),
    DRAW.standard_normal((B, D)),
    DRAW.standard_normal((B, D)),
)
# A fifth of the positions each begins anew, stands still, is cut.
FLOW = Flow(*(DRAW.random((3, B, T, 1)) < 0.2))


def test_the_gradient_is_that_of_the_steps_one_by_one():
    cell = LSTM(name="cell")
    cell.build((B, T, D))
    fill(cell)
    given = [
        keras.Variable(DRAW.standard_normal(shape), dtype="float32", name=name)
        for name, shape in {"x": (B, T, D), "h": (B, D), "c": (B, D)}.items()
    ]

    def in_loop(x, flow, state):
        return in_turn(cell.step, cell.inputs(x), flow, state)

    def loss_of(run):
        def loss():
            x, h, c = (1.0 * variable for variable in given)
            y, after = run(x, FLOW, HiddenAndMemory(h, c))
            pairs = zip(WEIGHTS, (y, after.h, after.c), strict=True)
            return sum(ops.sum(weights * part) for weights, part in pairs), y

        return differentiate(loss, [*given, *cell.trainable_variables], compiled=jit)()

    (y, found), (same, expected) = loss_of(cell), loss_of(in_loop)
    assert_near(y, same, 1e-6)
    assert found.keys() == expected.keys() and len(found) == 6
    for path, gradient in found.items():
        assert np.abs(expected[path]).max() > 0.1
        assert_near(gradient, expected[path], 1e-6)
