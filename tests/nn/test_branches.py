"""What every branch of the catalogue must do, given its context by a stack of one."""

import functools

import keras
import numpy as np
from keras import ops

from lm.decode.rows import reorder, spread
from tests.built import LENGTH, MEMORY, branch, noise, run, runner
from tests.catalogue import BRANCHES, having
from tests.engine import assert_all_near, assert_near, differentiate, jit, numpy, quick

SEGMENTS = np.array([[1] * 5 + [2] * 7, [1] * 4 + [2] * 6 + [0] * 2], "int32")
MEMORY_SEGMENTS = np.array([[1, 1, 2, 2, 2], [1, 1, 1, 2, 0]], "int32")
every = having(BRANCHES)
causal = having(BRANCHES, "causal")
steps = having(BRANCHES, "causal", "steps")
packed = having(BRANCHES, "packed")
padded = having(BRANCHES, "padding")


@functools.cache
def differentiated(name, *shape):
    """Returns a variable x, and the gradients of Σ weights · sin(branch(x)) by it and the rest."""
    made, x = branch(name), keras.Variable(np.zeros(shape, "float32"), name="x")

    def loss(weights, context):
        y = run(made, x * 1.0, **context)
        return ops.sum(ops.sin(y) * weights[..., None]), y

    return x, differentiate(loss, [x, *made.trainable_variables])


def gradients(case, x, weights, **context):
    variable, function = differentiated(case.name, *x.shape)
    variable.assign(x)
    return function(weights, context)


@every
def test_shape_is_kept(case):
    x = noise(1, 2, LENGTH)
    y, state = branch(case.name)(x, memory=MEMORY)
    assert tuple(y.shape) == x.shape
    assert state == ()


@steps
def test_step_by_step_equals_all_at_once(case):
    made, x, prompts = branch(case.name), noise(3, 2, LENGTH), (3, 5)
    whole = numpy(runner(case.name)(x))
    real = (np.arange(5) < np.array(prompts)[:, None]).astype("int32")
    step = quick(lambda x, state, **more: made(x, state=state, **more))
    _, state = step(x[:, :5], made.initial_state(2, LENGTH), segments=real, memory=MEMORY)
    for advance in (1, 2, 1):
        places = np.array(prompts)[:, None] + np.arange(advance)
        y, state = step(np.take_along_axis(x, places[..., None], axis=1), state)
        assert_near(y, np.take_along_axis(whole, places[..., None], axis=1), 1e-6)
        prompts = [p + advance for p in prompts]
    assert numpy(state.index).tolist() == list(prompts)


@steps
def test_texts_of_a_prompt_that_share_its_caches_equal_each_alone(case):
    made, prompts, texts = branch(case.name), np.array([3, 5]), 3
    x, rows = noise(3, 2, LENGTH), np.repeat([0, 1], texts)
    real = (np.arange(5) < prompts[:, None]).astype("int32")
    _, state = made(x[:, :5], state=made.initial_state(2, LENGTH), segments=real, memory=MEMORY)
    state, past, now = spread(state, texts, room=LENGTH - 5), x[rows], prompts[rows]
    whole = quick(lambda x: made(x, memory=MEMORY[rows])[0])
    step = quick(lambda x, state: made(x, state=state))
    each = np.arange(len(rows))
    for i, parents in enumerate([[[0, 1, 2], [0, 1, 2]], [[1, 1, 0], [2, 0, 2]], [[2, 1, 1]] * 2]):
        past[each, now] = new = noise(20 + i, len(rows))
        y, state = step(new[:, None], state)
        assert_near(y[:, 0], numpy(whole(past))[each, now], 1e-6)
        state = reorder(state, np.array(parents, "int32"))
        past, now = past[texts * rows + np.ravel(parents)], now + 1


@causal
def test_future_changes_nothing_in_the_past(case):
    x, now = noise(4, 2, LENGTH), 7
    other, past = x.copy(), (np.arange(LENGTH) < now)[None].astype("float32")
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
    (y, found), (z, same) = (
        gradients(case, one, mine, segments=SEGMENTS, memory_segments=MEMORY_SEGMENTS)
        for one in (x, other)
    )
    np.testing.assert_array_equal(y[mine > 0], z[mine > 0])
    assert_identical(found, same)
    assert not found["x"][mine == 0].any()


@packed
def test_packed_examples_equal_the_two_alone(case):
    x, cut = noise(8, 1, LENGTH), 5
    ones, both = np.ones((1, LENGTH), "float32"), [slice(0, cut), slice(cut, LENGTH)]
    y, packed = gradients(
        case,
        x,
        ones,
        segments=SEGMENTS[:1],
        positions=np.array([[*range(cut), *range(LENGTH - cut)]], "int32"),
        memory_segments=MEMORY_SEGMENTS[:1],
    )
    memories = [MEMORY[:1, :2], MEMORY[:1, 2:]]
    alone = [
        gradients(case, x[:, part], ones[:, part], memory=memory)
        for part, memory in zip(both, memories, strict=True)
    ]
    assert_near(y, np.concatenate([one for one, _ in alone], axis=1), 1e-6)
    del packed["x"]
    summed = {path: sum(found[path] for _, found in alone) for path in packed}
    assert_all_near(packed, summed, 1e-5)


@padded
def test_padding_changes_nothing(case):
    x = noise(9, 2, LENGTH)
    padded = np.concatenate([x, noise(10, 2, 3)], axis=1)
    segments = np.repeat([[1] * LENGTH + [0] * 3], 2, axis=0).astype("int32")
    assert_near(runner(case.name)(padded, segments)[:, :LENGTH], runner(case.name)(x), 1e-6)


@every
def test_eager_equals_jit(case):
    made, x = branch(case.name), noise(11, 2, LENGTH)
    compiled = jit(lambda x: run(made, x, SEGMENTS))
    assert_near(compiled(x), run(made, x, SEGMENTS), 1e-6)


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
