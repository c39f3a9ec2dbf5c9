"""Gradients that pass through a bounded number of positions: exactly 0 beyond, the same values."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Context
from lm.nn.cells import LSTM, HiddenAndMemory, MinGRU
from lm.nn.recurrent import Recurrent
from lm.nn.sru import SRU
from tests.built import noise
from tests.catalogue import part
from tests.engine import differentiate, filled, numpy

T = 8
SEGMENTS = np.array([[1] * 5 + [2] * 3, [1] * 7 + [0]], "int32")


@functools.cache
def gradients(truncation):
    """Returns y, and |d y_last / d x_t| summed over the width, [B, T], of each row's segment 1."""
    x = keras.Variable(noise(1, 2, T), name="x")
    made = Recurrent(cell=part(LSTM), truncation=truncation, name="recurrent")
    filled(made, x, Context(segments=SEGMENTS))
    last = np.array([4, 6])

    def loss():
        y, _ = made(x * 1.0, Context(segments=SEGMENTS))
        ends = ops.take_along_axis(y, last[:, None, None], axis=1)
        return ops.sum(ends), y

    y, found = differentiate(loss, [x])()
    return y, np.abs(found["x"]).sum(-1)


@pytest.mark.parametrize("truncation", [3, 4])
def test_the_gradient_beyond_the_truncation_is_exactly_zero(truncation):
    y, found = gradients(truncation)
    whole, reaching = gradients(None)
    np.testing.assert_array_equal(y, whole)
    for row, all_of_it, end in zip(found, reaching, (5, 7), strict=True):
        first = end - truncation
        assert np.all(all_of_it[:end] > 0)
        assert np.all(row[first:end] > 0)
        np.testing.assert_allclose(row[first:end], all_of_it[first:end], rtol=1e-4)
        assert np.all(row[:first] == 0)
        assert np.all(row[end:] == 0)


@pytest.mark.parametrize("lengths", [(T, T), (4, 3)])
def test_gradients_leave_the_row_at_its_begin_and_pass_through_padding(lengths):
    """The state before the row may be another network's, and that after it is read by one."""
    begun = keras.Variable(noise(2, 2, 1)[:, 0], name="begun")
    x = keras.Variable(noise(1, 2, T), name="x")
    context = Context(
        segments=(np.arange(T) < np.array(lengths)[:, None]).astype("int32"),
        carried=np.ones(2, "int32"),
    )
    made = Recurrent(cell=part(LSTM), truncation=4, name="recurrent")
    filled(made, x, context)

    def loss():
        state = HiddenAndMemory(begun * 1.0, ops.zeros_like(begun.value))
        y, after = made(x * 1.0, context, state=state)
        return ops.sum(y[:, 0]) + ops.sum(after.h), after.h

    _, found = differentiate(loss, [begun, x])()
    assert np.all(np.abs(found["begun"]).sum(-1) > 0)
    reach = np.abs(found["x"]).sum(-1)
    for row, length in zip(reach, lengths, strict=True):
        assert np.all(row[max(length - 4, 0) : length] > 0)


@pytest.mark.parametrize("cell", [MinGRU, SRU])
def test_a_cell_without_steps_cannot_be_truncated(cell):
    made = Recurrent(cell=part(cell), truncation=3, name="recurrent")
    with pytest.raises(LayerError, match=rf"truncation: {cell.__name__} computes all positions at"):
        made(noise(1, 2, T), Context())
    assert numpy(Recurrent(cell=part(cell), name="all")(noise(1, 2, T), Context())[0]).shape[1] == T
