"""A decoder that begins with the states in which its encoder ends, against NumPy in float64."""

import functools

import numpy as np
import pytest

from lm.errors import LayerError
from lm.models.encoder_decoder import EncoderDecoder
from lm.nn import cells, handover, heads, masks, recurrent, stack
from tests.batches import batch
from tests.built import A, B, C, model
from tests.catalogue import EMBEDDING, WIDTH, part
from tests.engine import assert_near, filled, numpy
from tests.nn.reference import sigmoid

NAME, LENGTH = "seq2seq_lstm", 8
BRANCHES = {"encoder": "branch_backward/recurrent", "decoder": "branch_recurrent"}


@functools.cache
def weights():
    """Returns the weights by their paths inside the model, float64."""
    found = model(NAME).trainable_variables
    return {v.path.split("/", 1)[1]: np.asarray(v.value).astype("float64") for v in found}


def lstm(stack_name, layer, inputs, state):
    """Returns h after every input, and the last (h, c)."""
    where = f"{stack_name}/layer_{layer}_0/{BRANCHES[stack_name]}/cell"
    w, u = (weights()[f"{where}/{name}/kernel"] for name in ("inputs", "recurrent"))
    (h, c), found = state, []
    for x in inputs:
        i, f, o, g = np.split(x @ w + h @ u, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        found.append(h)
    return np.stack(found), (h, c)


def expected(inputs, targets):
    """Returns the logits of one sentence pair, [T, V]: Sutskever et al. 2014, section 2."""
    zeros = np.zeros(WIDTH), np.zeros(WIDTH)
    x = weights()["source_embedding/embeddings"][inputs[::-1]]
    y = weights()["embedding/embeddings"][[0, *targets[:-1]]]
    for layer in range(2):
        x, state = lstm("encoder", layer, x, zeros)
        y, _ = lstm("decoder", layer, y, state)
    return y @ weights()["head/kernel"]


def test_the_model_is_its_equations_for_each_sentence_of_a_batch():
    features = batch(model(NAME), [[A], [C]], LENGTH)
    logits = numpy(model(NAME)(features))
    for found, (inputs, targets) in zip(logits, (A, C), strict=True):
        assert_near(found[: len(targets)], expected(inputs, targets), 2e-6)


def test_a_packed_row_is_nan_and_changes_no_other():
    features = batch(model(NAME), [[A, B], [C]], 16)
    logits = numpy(model(NAME)(features))
    assert bool(np.isnan(logits[0]).all())
    assert_near(logits[1, : len(C[1])], expected(*C), 2e-6)


def test_stacks_that_do_not_keep_the_same_are_refused():
    layers = [part(recurrent.Recurrent, cell=part(cells.LSTM))]
    made = EncoderDecoder(
        embedding=EMBEDDING,
        encoder=part(stack.Stack, num_layers=1, layers=layers, mask=masks.bidirectional),
        decoder=part(stack.Stack, num_layers=2, layers=layers, mask=masks.causal),
        head=part(heads.TiedLogits),
        handover=handover.last_state,
    )
    with pytest.raises(LayerError, match=r"ends with states of \[\(16,\), \(16,\)\], the decoder"):
        filled(made, batch(made, [[A]], LENGTH))
