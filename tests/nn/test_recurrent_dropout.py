"""Noise inside a recurrence: the cell of the equation, by the masks that were drawn, in float64."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from lm.errors import LayerError
from lm.nn.activation_penalty import ActivationPenalty
from lm.nn.branch import Context
from lm.nn.cells import LSTM, MinGRU
from lm.nn.embedding import TokenEmbedding, WordDropout
from lm.nn.recurrent import Recurrent
from lm.nn.recurrent_dropout import RecurrentDropout, WeightDrop, Zoneout
from lm.nn.reports import collect
from tests.built import noise
from tests.catalogue import WIDTH, part
from tests.engine import assert_near, differentiate, filled, numpy, quick
from tests.nn import reference
from tests.nn.test_recurrent import SEGMENTS, lstm

B, T = 2, 6
X = noise(1, B, T)
CELL = part(LSTM)
ZEROS = np.zeros(WIDTH), np.zeros(WIDTH)


@functools.cache
def branch(kind, **arguments):
    arguments = {k: list(v) if isinstance(v, tuple) else v for k, v in arguments.items()}
    made = Recurrent(cell=part(kind, cell=CELL, **arguments), name="recurrent")
    filled(made, X, Context())
    return made


def drawn(made, run):
    """Returns what a function of the cell draws, and what the branch makes of the same draws."""
    seeds = [v for v in made.non_trainable_variables if "seed" in v.path]
    before = [numpy(v.value) for v in seeds]
    draws = run(made.cell)
    for seed, value in zip(seeds, before, strict=True):
        seed.assign(value)
    return draws, numpy(quick(lambda x: made(x, Context(), training=True)[0])(X))


def plain(row, w, step, scale=1.0):
    """Returns h after each position of a row, the state after each given to `step`."""
    state, found = ZEROS, []
    for t, x in enumerate(row.astype("float64")):
        state = step(t, state, lstm(x, w, state[0] * scale, state[1]))
        found.append(state[0])
    return np.stack(found)


def last(t, before, after):
    del t, before
    return after


def test_weight_drop_is_an_lstm_of_the_weights_that_are_left():
    made = branch(WeightDrop, rate=0.4)
    w = reference.weights(made)
    assert_near(numpy(quick(lambda x: made(x, Context())[0])(X))[0], plain(X[0], w, last), 1e-6)
    kernel = w["recurrent/kernel"].astype("float32")
    dropped, y = drawn(made, lambda cell: numpy(cell.dropout(kernel, training=True)))
    assert 0.3 < np.mean(dropped == 0) < 0.5
    for found, row in zip(y, X, strict=True):
        assert_near(found, plain(row, w | {"recurrent/kernel": dropped}, last), 1e-6)


def test_a_dropped_weight_has_no_gradient():
    made = Recurrent(cell=part(WeightDrop, cell=CELL, rate=0.4), name="recurrent")
    filled(made, X, Context())
    kernel = made.cell.cell.recurrent.kernel

    def loss(x):
        y, _ = made(x, Context(), training=True)
        return ops.sum(ops.square(y)), y

    seeds = [v for v in made.non_trainable_variables if "seed" in v.path]
    _, gradients = differentiate(loss, [kernel], seeds)(X)
    assert 0.3 < np.mean(gradients[kernel.path] == 0) < 0.5


def test_recurrent_dropout_is_an_lstm_that_sees_a_part_of_h():
    made = branch(RecurrentDropout, rate=0.4)
    ones = np.ones((B, WIDTH), "float32")
    kept, y = drawn(made, lambda cell: numpy(cell.dropout(ones, training=True)))
    w = reference.weights(made)
    for found, row, scale in zip(y, X, kept, strict=True):
        assert_near(found, plain(row, w, last, scale), 1e-6)


def test_zoneout_keeps_what_was_there():
    rates = 0.25, 0.5
    made = branch(Zoneout, rates=rates)
    w, ones = reference.weights(made), np.ones((B, T, WIDTH), "float32")

    def moves(cell):
        return [numpy(d(ones, training=True)) > 0 for d in cell.dropouts]

    def mixed(moves):
        return lambda t, before, after: tuple(
            s + move[t] * (new - s) for s, new, move in zip(before, after, moves, strict=True)
        )

    draws, y = drawn(made, moves)
    expected = [np.full((T, 1), 1 - rate) for rate in rates]
    assert_near(
        numpy(quick(lambda x: made(x, Context())[0])(X))[0], plain(X[0], w, mixed(expected)), 1e-6
    )
    for i, row in enumerate(X):
        assert_near(y[i], plain(row, w, mixed([draw[i] for draw in draws])), 1e-6)


def test_cells_that_do_not_fit_are_refused():
    with pytest.raises(LayerError, match="MinGRU cannot be stepped position by position"):
        WeightDrop(cell=part(MinGRU), rate=0.5)
    with pytest.raises(LayerError, match=r"rates has 1 numbers, the state of LSTM 2 tensors"):
        Recurrent(cell=part(Zoneout, cell=CELL, rates=[0.1]))(X, Context())


def test_the_penalties_are_means_over_tokens_and_pairs_of_a_segment():
    x = noise(2, *SEGMENTS.shape)
    layer = ActivationPenalty(alpha=2.0, beta=1.0, name="penalty")
    with collect() as reported:
        y, _ = layer(x, Context(segments=SEGMENTS))
    assert_near(y, x, 0)
    x, real = x.astype("float64"), SEGMENTS > 0
    inside = real[:, 1:] & (SEGMENTS[:, 1:] == SEGMENTS[:, :-1])
    wanted = 2 * (x[real] ** 2).mean() + ((x[:, 1:] - x[:, :-1])[inside] ** 2).mean()
    assert_near(reported.loss(), wanted, 1e-6)


def test_a_word_is_dropped_wherever_it_stands():
    table = part(TokenEmbedding, vocabulary_size=50, hidden_dim=4)
    made = WordDropout(embedding=table, rate=0.5, name="words")
    tokens = np.random.default_rng(0).integers(0, 50, (4, 60))
    found, whole = numpy(made(tokens, training=True)), numpy(made(tokens))
    assert_near(whole, numpy(made.matrix())[tokens], 0)
    kept = np.abs(found).sum(-1) > 0
    assert_near(found, 2 * whole * kept[..., None], 1e-6)
    by_word = [set(kept[tokens == word]) for word in np.unique(tokens)]
    assert all(len(states) == 1 for states in by_word)
    assert 0.3 < np.mean([states == {True} for states in by_word]) < 0.7
    assert keras.tree.flatten(made.matrix())[0].shape == (50, 4)
