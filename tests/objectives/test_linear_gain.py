"""Losses of long rows against NumPy in float64: linear gain, and windows written from a state."""

import numpy as np
import pytest
from keras import ops

from lm.checkpoint import assign, variable_names
from lm.nn import cells, heads, masks, recurrent, stack
from lm.nn.random import uniform
from lm.nn.reports import collect
from lm.objectives import auxiliary, labels
from lm.objectives.auxiliary import Auxiliary
from lm.objectives.labels import Labels
from lm.objectives.linear_gain import LinearGain
from lm.objectives.token_prediction import TokenPrediction
from tests.catalogue import WIDTH, family, part
from tests.engine import assert_near, filled, numpy, quick
from tests.nn.reference import sigmoid

TOKENS = np.array([[3, 5, 2, 7, 4], [6, 1, 9, 0, 0]], "int32")
SEGMENTS = np.array([[1] * 5, [1, 1, 1, 0, 0]], "int32")
FEATURES = {
    "decoder_input_tokens": TOKENS,
    "decoder_segment_ids": SEGMENTS,
    "labels": np.array([[1], [0]], "int32"),
    "label_weights": np.ones((2, 1), "float32"),
}


class Given:
    """A model whose outputs are given."""

    sides = ("decoder",)


def test_the_weight_of_the_loss_grows_along_the_row():
    made = LinearGain(model=lambda name: Given())
    outputs = np.random.default_rng(0).standard_normal((2, 5, 3)).astype("float32")
    terms = made.terms(FEATURES, ops.convert_to_tensor(outputs))
    total = weight = 0.0
    for row, length, label in zip(outputs.astype("float64"), (5, 3), (1, 0), strict=True):
        for t in range(length):
            cross_entropy = np.log(np.exp(row[t]).sum()) - row[t, label]
            total, weight = total + (t + 1) / length * cross_entropy, weight + (t + 1) / length
    assert_near(numpy(list(terms["loss"])), [total, weight], 1e-6)
    last = outputs[[0, 1], [4, 2]].astype("float64")
    p = np.exp(last) / np.exp(last).sum(-1, keepdims=True)
    assert_near(made.predictions(FEATURES, ops.convert_to_tensor(outputs))[:, 0], p, 1e-6)
    assert_near(terms["cross_entropy"].total, -np.log(p[[0, 1], [1, 0]]).sum(), 1e-6)


@pytest.mark.parametrize(
    ("window", "borders"),
    [
        (auxiliary.before, [[(0, 1), (1, 3)], [(0, 2), (2, 4)]]),
        (auxiliary.after, [[(1, 3), (3, 5)], [(2, 4), (4, 4)]]),
    ],
)
def test_a_window_ends_or_begins_at_its_anchor(window, borders):
    anchors, sizes = np.array([[1, 3], [2, 4]]), np.array([[5], [4]])
    found = numpy(window(ops.convert_to_tensor(anchors), ops.convert_to_tensor(sizes), 2))
    assert np.stack(found, axis=-1).tolist() == [[list(pair) for pair in row] for row in borders]


def lstm_model(name):
    del name
    files = "lstm_lm/architecture.gin", "lstm_lm/classifier.gin"
    return family(*files, NUM_LAYERS=1, INTERMEDIATE_DIM=None, NUM_HEADS=None)()


READER = "decoder_only/decoder/layer_0_0/branch_recurrent/cell/"
LAYER = part(recurrent.Recurrent, cell=part(cells.LSTM))


def writing():
    """Returns a tiny model that writes the three tokens after two anchors of each row."""
    made = Auxiliary(
        model=lstm_model,
        objective=part(Labels, candidates=labels.classes),
        decoder=part(stack.Stack, num_layers=2, layers=[LAYER], mask=masks.causal),
        head=part(heads.TiedLogits),
        window=auxiliary.after,
        num_anchors=2,
        length=3,
        label_weight=0.0,
    )
    return filled(made, {name: ops.convert_to_tensor(x) for name, x in FEATURES.items()})


def step(w, x, h, c, forget):
    gates = x @ w["inputs/kernel"] + w["inputs/bias"]
    i, f, o, g = np.split(gates + h @ w["recurrent/kernel"], 4)
    c = sigmoid(f + forget) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def below(w, prefix):
    """Returns the weights of a cell by their names inside it."""
    return {n.removeprefix(prefix): x for n, x in w.items() if n.startswith(prefix)}


def read(w, row):
    """Returns h after each token of a row."""
    state, found = (np.zeros(WIDTH), np.zeros(WIDTH)), []
    for token in row:
        x = w["decoder_only/embedding/embeddings"][token]
        state = step(below(w, READER), x, *state, 0)
        found.append(state[0])
    return found


def written(w, h, window):
    """Returns the loss of each token of a window that begins from h."""
    table, losses = w["decoder_only/embedding/embeddings"], []
    states = [(h, h), (np.zeros(WIDTH),) * 2]
    for fed, wanted in zip([0, *window[:-1]], window, strict=False):
        y = table[fed]
        for i in range(2):
            states[i] = step(below(w, f"decoder/layer_{i}_0/cell/"), y, *states[i], 1)
            y = states[i][0]
        losses.append(np.log(np.exp(y @ table.T).sum()) - y @ table[wanted])
    return losses


def test_windows_are_written_from_the_state_at_their_anchors():
    made = writing()
    before = numpy(made.seed.state.value)
    share = numpy(uniform((2, 2), made.seed))
    made.seed.state.assign(before)

    def run(features):
        with collect() as reported:
            terms = made.terms(features, made(features))
        return terms["loss"].total, reported.metrics()["auxiliary_loss"], reported.loss()

    labelled, (total, weight), loss = numpy(quick(run)(FEATURES))
    named = {v.path.split("/", 1)[1]: v for v in made.trainable_variables}
    w = {name: numpy(v.value).astype("float64") for name, v in named.items()}
    losses = []
    for row, size, shares in zip(TOKENS, (5, 3), share, strict=True):
        states = read(w, row[:size])
        for anchor in 1 + (shares * size).astype(int):
            losses += written(w, states[anchor - 1], row[anchor : min(anchor + 3, size)])
    assert labelled == 0
    assert (weight, len(losses)) == (len(losses), len(losses))
    assert_near(total, sum(losses), 1e-5)
    assert_near(loss, np.mean(losses), 1e-5)


def test_a_classifier_begins_with_the_weights_of_the_language_model_bit_for_bit():
    tokens = {name: FEATURES[name] for name in ("decoder_input_tokens", "decoder_segment_ids")}
    tiny = {"NUM_LAYERS": 1, "INTERMEDIATE_DIM": None, "NUM_HEADS": None}
    language_model = TokenPrediction(
        model=lambda name: family("lstm_lm/architecture.gin", **tiny)()
    )
    classifier = Labels(model=lstm_model, candidates=labels.classes)
    for made in (language_model, classifier):
        filled(made, {name: ops.convert_to_tensor(x) for name, x in tokens.items()})
    saved = {n: numpy(v.value) for n, v in variable_names.weights(language_model).items()}
    saved = {name: x + 1 for name, x in saved.items()}
    found = variable_names.weights(classifier)
    admitted = assign(found, saved, source="the language model", partial=["/head/"])
    assert {name for name in found if "/head/" not in name} == set(saved)
    assert len(admitted) == len(found) - len(saved) > 0
    for name, x in saved.items():
        np.testing.assert_array_equal(numpy(found[name].value), x)
