"""HyperLSTM and NAS cell: equations, published counts, and what they are before training."""

import functools
import math

import keras
import numpy as np
import pytest

from lm.nn.branch import Context
from lm.nn.cells import LSTM, HiddenAndMemory
from lm.nn.hyper_cells import GATES, HyperLSTM, LayerNormLSTM
from lm.nn.nas_cell import NASCell
from lm.nn.norm import LayerNorm
from lm.nn.recurrent import Recurrent
from tests.built import noise
from tests.catalogue import part
from tests.engine import assert_near, filled, numpy
from tests.nn.reference import layer_norm, sigmoid

NORM = part(LayerNorm, epsilon=1e-3)
HYPER = {
    "plain": part(HyperLSTM, hyper=part(LSTM), hyper_dim=6),
    "normalized": part(HyperLSTM, hyper=part(LayerNormLSTM), hyper_dim=6, norm=NORM),
}
X = noise(1, 2, 5)


def by_path(layer):
    """Returns the weights of the cell by their paths inside it, float64."""
    found = {v.path.split("/cell/")[1]: v for v in layer.trainable_variables}
    return {name: np.asarray(v.value).astype("float64") for name, v in found.items()}


def normalized(x, w, name):
    scale = w.get(f"{name}_norm/scale")
    return x if scale is None else layer_norm(x, scale, w[f"{name}_norm/bias"], 1e-3)


def lstm(gates, c, w):
    i, f, o, g = (
        normalized(y, w, name) for name, y in zip(GATES, np.split(gates, 4, -1), strict=True)
    )
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(normalized(c, w, "memory")), c


def hyper_lstm(x, w, h, c, small_h, small_c):
    """Ha et al. 2017, appendix A.2.3, with the smaller cell's output of this position."""
    small = {name.removeprefix("hyper/"): y for name, y in w.items() if name.startswith("hyper/")}
    gates = x @ small["inputs/kernel"] + small.get("inputs/bias", 0) + h @ w["hyper_hidden/kernel"]
    small_h, small_c = lstm(gates + small_h @ small["recurrent/kernel"], small_c, small)

    def scaled(name, rows):
        z = small_h @ w[f"{name}/kernel"] + w.get(f"{name}/bias", 0)
        return np.concatenate([a @ b for a, b in zip(np.split(z, 4), w[rows], strict=True)])

    y = scaled("scale_hidden", "hidden_rows") * (h @ w["recurrent/kernel"])
    y += scaled("scale_inputs", "inputs_rows") * (x @ w["inputs/kernel"])
    y += scaled("shift", "shift_rows") + w["bias"]
    h, c = lstm(y, c, w)
    return h, c, small_h, small_c


@functools.cache
def branch(name):
    made = Recurrent(cell=HYPER[name], name="recurrent")
    filled(made, X, Context())
    return made


@pytest.mark.parametrize("name", HYPER)
def test_a_hyper_lstm_is_its_equations(name):
    y, _ = branch(name)(X, Context())
    w = by_path(branch(name))
    for found, row in zip(numpy(y), X.astype("float64"), strict=True):
        state = np.zeros(16), np.zeros(16), np.zeros(6), np.zeros(6)
        for got, x in zip(found, row, strict=True):
            state = hyper_lstm(x, w, *state)
            # A norm of a small vector multiplies its rounding by up to 1 / sqrt(1e-3), three times.
            assert_near(got, state[0], 1e-6 if name == "plain" else 1e-5)


def test_at_the_start_it_is_an_lstm_whose_gates_are_a_tenth():
    made = Recurrent(cell=HYPER["plain"], name="recurrent")
    y = numpy(made(X, Context())[0])
    w, h, c = by_path(made), np.zeros(16), np.zeros(16)
    for got, x in zip(y[0], X[0].astype("float64"), strict=True):
        h, c = lstm(0.1 * (x @ w["inputs/kernel"] + h @ w["recurrent/kernel"]), c, {})
        assert_near(got, h, 1e-6)


COUNTS = {
    "lstm": (part(LSTM), 4_254_050),
    "layer_norm_lstm": (part(LayerNormLSTM), 4_260_050),
    "hyper_lstm": (part(HyperLSTM, hyper=part(LSTM)), 4_911_874),
    "normalized": (part(HyperLSTM, hyper=part(LayerNormLSTM), norm=NORM), 4_922_642),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_the_paper(name):
    """1000 units over 50 one-hot characters and their logits: 4.25M, 4.26M, 4.91M, 4.92M."""
    factory, count = COUNTS[name]
    with keras.StatelessScope(initialize_variables=False):
        made = factory(name="cell")
        made.build((1, 1000))
    shapes = {v.path: list(v.shape) for v in made.trainable_variables}
    for path, shape in shapes.items():
        shape[0] = 50 if path.endswith("inputs/kernel") and "scale" not in path else shape[0]
    assert sum(map(math.prod, shapes.values())) + 1000 * 50 + 50 == count


def test_the_nas_cell_of_the_release():
    made = NASCell(name="cell")
    made.build((1, 1))
    kernels = np.arange(1, 9)[None] / 10, np.arange(8, 0, -1)[None] / 10
    for dense, kernel in zip((made.inputs, made.recurrent), kernels, strict=True):
        dense.kernel.assign(kernel.astype("float32"))
    before = HiddenAndMemory(np.full((1, 1), 0.2, "float32"), np.full((1, 1), 0.3, "float32"))
    h, c = made.step(made.inputs(np.ones((1, 1), "float32")), before)
    assert_near(np.array([h[0, 0], c[0, 0]]), np.array([0.20511772, 0.25750518]), 1e-6)
