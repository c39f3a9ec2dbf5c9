"""What every branch of the catalogue must do, given its context by a stack of one."""

import functools

import keras
import numpy as np
from keras import ops

from lm.decode.rows import expand, reorder
from lm.nn.stack_state import Rows
from tests.built import LENGTH, MEMORY, branch, noise, runner
from tests.catalogue import BRANCHES, having
from tests.engine import assert_all_near, assert_near, differentiate, numpy, quick, slower

SEGMENTS = np.array([[1] * 5 + [2] * 7, [1] * 4 + [2] * 6 + [0] * 2], "int32")
MEMORY_SEGMENTS = np.array([[1, 1, 2, 2, 2], [1, 1, 1, 2, 0]], "int32")
ONE, ONE_MEMORY = np.ones_like(SEGMENTS), np.ones_like(MEMORY_SEGMENTS)
PACKED = {"segments": SEGMENTS, "memory_segments": MEMORY_SEGMENTS}
every = having(BRANCHES)
causal = having(BRANCHES, "causal")
steps = having(BRANCHES, "causal", "steps")
packed = having(BRANCHES, "packed")
padded = having(BRANCHES, "padding")


@functools.cache
def differentiated(name):
    """Returns a variable x, and the gradients of Σ weights · sin(branch(x)) by it and the rest."""
    made, x = branch(name), keras.Variable(noise(0, 2, LENGTH), name="x")

    def loss(weights, rows):
        y, state = made(x * 1.0, rows)
        return ops.sum(ops.sin(y) * weights[..., None]), (y, state)

    return x, differentiate(loss, [x, *made.trainable_variables])


def gradients(case, x, weights, **given):
    """Returns outputs and gradients; all shapes are the same, so that a branch compiles once."""
    variable, function = differentiated(case.name)
    variable.assign(x)
    (y, state), found = function(weights, rows(**given))
    assert state == ()
    return y, found


def rows(segments=ONE, memory=MEMORY, memory_segments=ONE_MEMORY):
    """Returns all that rows bring."""
    ordered = np.where(segments > 0, segments, 9)
    starts = np.stack([np.searchsorted(row, row) for row in ordered])
    return Rows(
        segments=segments,
        positions=(np.arange(LENGTH) - starts).astype("int32"),
        memory=memory,
        memory_segments=memory_segments,
    )


@functools.cache
def stepper(name):
    """Returns a function that reads further positions: `(x, state, rows) -> (y, state)`."""
    made = branch(name)
    return quick(lambda x, state, rows: made(x, rows, state=state))


def forward(case, x, **given):
    return gradients(case, x, ONE.astype("float32"), **given)[0]


@every
def test_shape_is_kept(case):
    x = noise(1, 2, LENGTH)
    assert forward(case, x).shape == x.shape


@steps
def test_step_by_step_equals_all_at_once(case):
    made, x, prompts = branch(case.name), noise(3, 2, LENGTH), (3, 5)
    whole = forward(case, x)
    real = (np.arange(5) < np.array(prompts)[:, None]).astype("int32")
    step = stepper(case.name)
    _, state = step(x[:, :5], made.initial_state(2, LENGTH), Rows(segments=real, memory=MEMORY))
    for advance in (1, 2, 1):
        positions = np.array(prompts)[:, None] + np.arange(advance)
        y, state = step(np.take_along_axis(x, positions[..., None], axis=1), state, Rows())
        assert_near(y, np.take_along_axis(whole, positions[..., None], axis=1), 1e-6)
        prompts = [p + advance for p in prompts]
    assert numpy(state.index).tolist() == list(prompts)


@steps
def test_sequences_of_a_prompt_that_share_its_caches_equal_each_alone(case):
    made, prompts, sequences = branch(case.name), np.array([3, 5]), 3
    x, rows = noise(3, 2, LENGTH), np.repeat([0, 1], sequences)
    real = (np.arange(5) < prompts[:, None]).astype("int32")
    step, choose = stepper(case.name), quick(reorder)
    _, state = step(x[:, :5], made.initial_state(2, LENGTH), Rows(segments=real, memory=MEMORY))
    state = quick(functools.partial(expand, sequences=sequences, new_slots=LENGTH - 5))(state)
    past, now = x[rows], prompts[rows]
    whole = quick(lambda x: made(x, Rows(memory=MEMORY[rows]))[0])
    each = np.arange(len(rows))
    for i, parents in enumerate([[[0, 1, 2], [0, 1, 2]], [[1, 1, 0], [2, 0, 2]], [[2, 1, 1]] * 2]):
        past[each, now] = new = noise(20 + i, len(rows))
        y, state = step(new[:, None], state, Rows())
        assert_near(y[:, 0], numpy(whole(past))[each, now], 1e-6)
        state = choose(state, np.array(parents, "int32"))
        past, now = past[sequences * rows + np.ravel(parents)], now + 1


@causal
def test_future_changes_nothing_in_the_past(case):
    x, now = noise(4, 2, LENGTH), 7
    other, past = x.copy(), (np.arange(LENGTH) < [[now]] * 2).astype("float32")
    other[:, now:] = noise(5, 2, LENGTH - now)
    (y, found), (z, same) = (gradients(case, one, past) for one in (x, other))
    np.testing.assert_array_equal(y[:, :now], z[:, :now])
    assert_identical(found, same)
    assert not found["x"][:, now:].any()


@packed
def test_other_segments_change_nothing(case):
    x = noise(6, 2, LENGTH)
    mine = (SEGMENTS == 1).astype("float32")
    other = np.where(mine[..., None] > 0, x, noise(7, 2, LENGTH))
    (y, found), (z, same) = (gradients(case, one, mine, **PACKED) for one in (x, other))
    np.testing.assert_array_equal(y[mine > 0], z[mine > 0])
    assert_identical(found, same)
    assert not found["x"][mine == 0].any()


@packed
def test_packed_examples_equal_the_two_alone(case):
    x, real = noise(8, 2, LENGTH), (SEGMENTS > 0).astype("float32")
    y, together = gradients(case, x, real, **PACKED)
    del together["x"]
    summed = dict.fromkeys(together, 0.0)
    for number in (1, 2):
        segments, memory_segments = (alone(s, s, number) // number for s in PACKED.values())
        z, found = gradients(
            case,
            alone(x, SEGMENTS, number),
            segments.astype("float32"),
            segments=segments,
            memory=alone(MEMORY, MEMORY_SEGMENTS, number),
            memory_segments=memory_segments,
        )
        assert_near(z[segments > 0], y[number == SEGMENTS], 1e-6)
        summed = {path: total + found[path] for path, total in summed.items()}
    assert_all_near(together, summed, 1e-5)


def alone(x, segments, number):
    """Returns the examples of this number at the start of their rows, padded with zeros."""
    moved = np.zeros_like(x)
    for row, values, mine in zip(moved, x, segments == number, strict=True):
        row[: mine.sum()] = values[mine]
    return moved


@padded
def test_padding_changes_nothing(case):
    x, length = noise(9, 2, LENGTH), LENGTH - 3
    segments = (np.arange(LENGTH)[None] < [[length]] * 2).astype("int32")
    padded = forward(case, x, segments=segments)
    assert_near(padded[:, :length], runner(case.name)(x[:, :length]), 1e-6)


@every
def test_eager_equals_jit(case):
    made, x = branch(case.name), noise(11, 2, LENGTH)
    run = slower(lambda x, rows: made(x, rows)[0])
    assert_near(run(x, rows(**PACKED)), forward(case, x, **PACKED), 1e-6)


@every
def test_every_weight_gets_a_gradient(case):
    _, found = gradients(case, noise(12, 2, LENGTH), np.ones((2, LENGTH), "float32"))
    assert all(np.isfinite(g).all() for g in found.values())
    assert [path for path, g in found.items() if not has_gradient(path, g)] == []


def has_gradient(path, gradient):
    """A bias of the keys adds the same to all logits of a query: the softmax takes it away.

    So does what relative attention adds for the type where all tokens have one. The noise of a
    router is drawn in training alone.
    """
    silent = ("key/bias", "type_bias", "type_embeddings", "noise/kernel")
    return np.abs(gradient).max() > 1e-6 or path.endswith(silent)


def assert_identical(found, same):
    for path, gradient in found.items():
        np.testing.assert_array_equal(gradient, same[path], err_msg=path)
