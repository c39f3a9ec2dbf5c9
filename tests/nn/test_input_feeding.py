"""Decoders that attend inside the recurrence, against their equations in float64."""

import functools

import numpy as np

from lm.models.encoder_decoder import EncoderDecoder
from lm.nn import backward, cells, heads, masks, recurrent, stack
from lm.nn.bahdanau import BahdanauDecoder
from lm.nn.branch import Context
from lm.nn.input_feeding import InputFeeding, last_state
from lm.nn.luong import AdditiveScore, DotScore, LuongAttention
from tests.batches import batch
from tests.built import A, C, noise, shapes
from tests.catalogue import EMBEDDING, WIDTH, part
from tests.engine import assert_near, filled, numpy, quick
from tests.nn import reference
from tests.nn.reference import sigmoid

T, S = 4, 5
X, MEMORY = noise(1, 2, T), noise(2, 2, S)
SEEN = np.array([[1] * S, [1] * 3 + [0] * 2], "bool")
CONTEXT = Context(memory=MEMORY, memory_mask=SEEN[:, None, None])
ZEROS = np.zeros(WIDTH)
ATTENTION = part(LuongAttention, score=part(DotScore))


@functools.cache
def fed():
    made = InputFeeding(
        cells=[part(cells.LSTM), part(cells.LSTM)], attention=ATTENTION, name="feeding"
    )
    filled(made, X, CONTEXT)
    return made


def by_path(layer):
    """Returns the weights by their paths inside the layer, float64."""
    found = {v.path.split("/", 1)[1]: v for v in layer.trainable_variables}
    return {name: np.asarray(v.value).astype("float64") for name, v in found.items()}


def lstm(gates, c):
    i, f, o, g = np.split(gates, 4)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def feeding(w, row, memory, states):
    """Returns h̃ of each position: Luong et al. 2015, section 3.3."""
    states, h, found = list(states), ZEROS, []
    for x in row.astype("float64"):
        x = x @ w["cell_0/inputs/kernel"] + w["cell_0/inputs/bias"] + h @ w["feed/kernel"]
        for i in range(len(states)):
            if i > 0:
                x = x @ w[f"cell_{i}/inputs/kernel"] + w[f"cell_{i}/inputs/bias"]
            gates = x + states[i][0] @ w[f"cell_{i}/recurrent/kernel"]
            states[i] = lstm(gates, states[i][1])
            x = states[i][0]
        read = reference.softmax(memory @ x) @ memory
        h = np.tanh(np.concatenate([read, x]) @ w["attention/output/kernel"])
        found.append(h)
    return np.stack(found)


def test_input_feeding_is_its_equations():
    made = fed()
    y = quick(lambda x: made(x, CONTEXT)[0])(X)
    for found, row, memory, seen in zip(numpy(y), X, MEMORY.astype("float64"), SEEN, strict=True):
        zeros = [(ZEROS, ZEROS)] * 2
        assert_near(found, feeding(by_path(made), row, memory[seen], zeros), 1e-6)


def test_the_cells_begin_with_the_states_of_the_encoder():
    reader = part(backward.Backward, branch=part(recurrent.Recurrent, cell=part(cells.LSTM)))
    feeder = part(InputFeeding, cells=[part(cells.LSTM)], attention=ATTENTION)
    made = EncoderDecoder(
        embedding=EMBEDDING,
        encoder=part(stack.Stack, num_layers=1, layers=[reader], mask=masks.bidirectional),
        decoder=part(stack.Stack, num_layers=1, layers=[feeder], mask=masks.causal),
        head=part(heads.TiedLogits),
        handover=last_state,
    )
    features = batch(made, [[A], [C]], 8)
    filled(made, shapes(features))
    w = by_path(made)
    decoder = {name.split("layer_0_0/")[1]: x for name, x in w.items() if "decoder" in name}
    encoder = {name.split("cell/")[1]: x for name, x in w.items() if "encoder" in name}
    table = w["embedding/embeddings"]
    logits = numpy(quick(made)(features))
    for found, (inputs, targets) in zip(logits, (A, C), strict=True):
        state, read = (ZEROS, ZEROS), []
        for x in table[inputs[::-1]]:
            gates = x @ encoder["inputs/kernel"] + encoder["inputs/bias"]
            state = lstm(gates + state[0] @ encoder["recurrent/kernel"], state[1])
            read.append(state[0])
        row = table[[0, *targets[:-1]]]
        h = feeding(decoder, row, np.stack(read[::-1]), [state])
        assert_near(found[: len(targets)], h @ table.T, 2e-6)


def test_bahdanaus_decoder_is_its_equations():
    made = BahdanauDecoder(cell=part(cells.GRU), score=part(AdditiveScore), name="decoder")
    filled(made, X, CONTEXT)
    w, y = by_path(made), numpy(quick(lambda x: made(x, CONTEXT)[0])(X))
    for found, row, memory, seen in zip(y, X, MEMORY.astype("float64"), SEEN, strict=True):
        s, memory = ZEROS, memory[seen]
        for got, x in zip(found, row.astype("float64"), strict=True):
            both = s @ w["score/query/kernel"] + memory @ w["score/key/kernel"]
            c = reference.softmax(np.tanh(both) @ w["score/vector"]) @ memory
            pairs = np.concatenate([x, s, c]) @ w["output/kernel"]
            assert_near(got, pairs.reshape(WIDTH, 2).max(-1), 1e-6)
            given = x @ w["cell/inputs/kernel"] + w["cell/inputs/bias"] + c @ w["memory/kernel"]
            gates, new = np.split(given, [2 * WIDTH])
            r, z = np.split(sigmoid(gates + s @ w["cell/recurrent/kernel"]), 2)
            s = z * s + (1 - z) * np.tanh(new + (r * s) @ w["cell/candidate/kernel"])
