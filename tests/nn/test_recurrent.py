"""Recurrent cells against their equations, position by position in float64."""

import functools

import numpy as np
import pytest

from lm.errors import LayerError
from lm.nn.branch import Context
from lm.nn.cells import GRU, LSTM, Hidden, MinGRU
from lm.nn.enas_cell import PUBLISHED, ENASCell
from lm.nn.hyper_cells import GATES, LayerNormLSTM
from lm.nn.nas_cell import NASCell
from lm.nn.recurrent import Recurrent
from lm.nn.sru import SRU
from tests.built import noise
from tests.catalogue import part
from tests.engine import assert_near, filled, numpy
from tests.nn import reference
from tests.nn.reference import sigmoid

B, T = 2, 9
X = noise(1, B, T)
SEGMENTS = np.array([[1] * 4 + [2] * 5, [1] * 2 + [2] * 5 + [0] * 2], "int32")


def lstm(x, w, h, c):
    i, f, o, g = np.split(project(x, w) + h @ w["recurrent/kernel"], 4, axis=-1)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru(x, w, h):
    gates, new = np.split(project(x, w), [2 * h.shape[-1]], axis=-1)
    r, z = np.split(sigmoid(gates + h @ w["recurrent/kernel"]), 2, axis=-1)
    return (z * h + (1 - z) * np.tanh(new + (r * h) @ w["candidate/kernel"]),)


def min_gru(x, w, h):
    z, new = np.split(project(x, w), 2, axis=-1)
    return ((1 - sigmoid(z)) * h + sigmoid(z) * new,)


def project(x, w):
    return x @ w["inputs/kernel"] + w["inputs/bias"]


def layer_norm_lstm(x, w, h, c):
    gates = np.split(x @ w["inputs/kernel"] + h @ w["recurrent/kernel"], 4, axis=-1)
    i, f, o, g = (norm(y, w, name) for name, y in zip(GATES, gates, strict=True))
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(norm(c, w, "memory")), c


def norm(x, w, name):
    return reference.layer_norm(x, w[f"{name}_norm/scale"], w[f"{name}_norm/bias"], 1e-3)


def nas(x, w, h, c):
    a, b = (np.split(y, 8, axis=-1) for y in (x @ w["inputs/kernel"], h @ w["recurrent/kernel"]))
    s = [p + q for p, q in zip(a, b, strict=True)]
    m = [
        np.tanh(sigmoid(s[0]) * np.maximum(s[1], 0)),
        np.tanh(sigmoid(s[2]) + np.maximum(a[3] * b[3], 0)),
        np.tanh(np.tanh(s[4]) * sigmoid(s[5])),
        sigmoid(np.tanh(s[6]) + sigmoid(s[7])),
    ]
    c = np.tanh(m[0] + c) * m[1]
    return np.tanh(c * np.tanh(m[2] + m[3])), c


def enas(x, w, h):
    def moved(s, gates, function):
        g, u = np.split(gates, 2, axis=-1)
        return s + sigmoid(u) * (FUNCTIONS[function](g) - s)

    s = [moved(h, x @ w["inputs/kernel"] + h @ w["recurrent/kernel"], "tanh")]
    for i, (before, function) in enumerate(PUBLISHED, 1):
        s.append(moved(s[before], s[before] @ w[f"node_{i}/kernel"], function))
    return (np.mean(s[1:], axis=0),)


FUNCTIONS = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0), "sigmoid": sigmoid}
CELLS = {
    LSTM: (lstm, 2),
    GRU: (gru, 1),
    MinGRU: (min_gru, 1),
    LayerNormLSTM: (layer_norm_lstm, 2),
    NASCell: (nas, 2),
    ENASCell: (enas, 1),
}
every = pytest.mark.parametrize("cell", CELLS)


@functools.cache
def branch(cell):
    made = Recurrent(cell=part(cell), name="recurrent")
    filled(made, X, Context())
    return made


def expected(cell, row, segments):
    """Returns y [T, D] and the last state of one row: zeros at a border, held on padding."""
    step, size = CELLS[cell]
    w, zeros = reference.weights(branch(cell)), (np.zeros(row.shape[-1]),) * size
    state, found, before = zeros, [], segments[0]
    for x, segment in zip(row.astype("float64"), segments, strict=True):
        if segment > 0:
            state = step(x, w, *(state if segment == before else zeros))
        found.append(state[0])
        before = segment
    return np.stack(found), state


@every
def test_a_cell_is_its_equation_in_every_segment(cell):
    made = branch(cell)
    y, state = made(X, Context(segments=SEGMENTS))
    assert state == ()
    for got, row, segments in zip(numpy(y), X, SEGMENTS, strict=True):
        assert_near(got, expected(cell, row, segments)[0], 1e-6)


@every
def test_the_state_after_a_row_is_that_of_its_last_token(cell):
    made, ones = branch(cell), np.ones(B, "int32")
    _, after = made(X, Context(segments=SEGMENTS, carried=ones), state=made.initial_carry(B))
    wanted = [expected(cell, row, segments)[1] for row, segments in zip(X, SEGMENTS, strict=True)]
    for got, rows in zip(after, zip(*wanted, strict=True), strict=True):
        assert_near(numpy(got), np.stack(rows), 1e-6)


def test_an_sru_is_its_equation_in_every_segment():
    made = branch(SRU)
    w, y = reference.weights(made), numpy(made(X, Context(segments=SEGMENTS))[0])
    for found, row, segments in zip(y, X.astype("float64"), SEGMENTS, strict=True):
        c, before = np.zeros(row.shape[-1]), segments[0]
        for got, x, segment in zip(found, row, segments, strict=True):
            if segment > 0:
                f, r, new = np.split(x @ w["inputs/kernel"], 3)
                f, r = sigmoid(np.stack([f, r]) + w["cell/bias"].reshape(2, -1))
                c = f * (c if segment == before else 0) + (1 - f) * new
                assert_near(got, r * np.tanh(c) + (1 - r) * x, 1e-6)
            before = segment


def test_the_enas_cell_of_the_release():
    made = ENASCell(name="cell")
    made.build((1, 1))
    kernels = [[0.5, 0.1], [0.3, 0.2], *[[0.5, 0.1]] * 8]
    for dense, kernel in zip((made.inputs, made.recurrent, *made.kernels), kernels, strict=True):
        dense.kernel.assign(np.array([kernel], "float32"))
    after = made.step(made.inputs(np.ones((1, 1), "float32")), Hidden(np.full((1, 1), 0.2)))
    assert_near(numpy(after.h)[0, 0], 0.35512347, 1e-6)


@pytest.mark.parametrize("node", [(2, "tanh"), (0, "sine")])
def test_a_node_that_cannot_be_is_refused(node):
    with pytest.raises(LayerError, match=r"node 2 is .* it reads a node from 0 to 1, by tanh"):
        ENASCell(nodes=[(0, "relu"), node])
