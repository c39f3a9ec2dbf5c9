"""What every model of the catalogue must do."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from tests.batches import batch, output_side
from tests.built import LENGTH, ROWS, A, B, C, fresh_model, model, rows
from tests.catalogue import MODELS, VOCABULARY_SIZE, having
from tests.engine import assert_all_near, assert_near, differentiate, numpy, quick, slower, spec

LONG, SHORT = 15, 7  # the only two widths, so that a model compiles once for each
every = having(MODELS)
generative = having(MODELS, "steps")
packing = having(MODELS, "packed")


@functools.cache
def differentiated(name):
    """Returns outputs and the gradients of Σ mine · sin(outputs) by all weights."""
    made = model(name)

    def loss(features, mine):
        outputs = made(features)
        weights = mine[..., None] if len(outputs.shape) == 3 else 1.0
        return ops.sum(ops.sin(outputs) * weights), outputs

    return differentiate(loss, made.trainable_variables)


@functools.cache
def forward(name):
    """Returns the model as evaluation calls it."""
    return quick(functools.partial(model(name), training=False))


def segments(features):
    return features[f"{output_side(features)}_segment_ids"]


def real(features):
    return (segments(features) > 0).astype("float32")


def redrawn(features, where, *sides):
    """Returns the features with other tokens where the mask of each side is true."""
    noise = np.random.default_rng(7)
    changed = dict(features)
    for side in sides:
        name = f"{side}_input_tokens"
        others = noise.integers(1, VOCABULARY_SIZE, features[name].shape).astype("int32")
        changed[name] = np.where(where(features[f"{side}_segment_ids"]), others, features[name])
    return changed


def sides(features):
    return [s for s in ("encoder", "decoder") if f"{s}_input_tokens" in features]


@packing
def test_packed_examples_equal_the_two_alone(case):
    made = model(case.name)
    run = differentiated(case.name)
    packed = batch(made, ROWS, LONG)
    y, found = run(packed, real(packed))
    is_pooled = y.ndim == 2  # the vector of a row is that of its first example
    summed, start = dict.fromkeys(found, 0.0), 0
    for mine, example in ((1, A), (0, B))[: 1 if is_pooled else 2]:
        alone = batch(made, [[example], [C]], LONG)
        z, gradients = run(alone, real(alone) * np.array([[1], [mine]], "float32"))
        summed = {path: total + gradients[path] for path, total in summed.items()}
        count = len(example[1])
        y_own, z_own = (y, z) if is_pooled else (y[0, start : start + count], z[0, :count])
        assert_near(y_own, z_own, 1e-6)
        start += count
    assert_all_near(found, summed, 1e-5)


@packing
def test_other_segments_change_nothing(case):
    made = model(case.name)
    features = batch(made, ROWS, LONG)
    mine = (segments(features) == 1).astype("float32")
    other = redrawn(features, lambda s: s != 1, *sides(features))
    (y, found), (z, same) = (differentiated(case.name)(one, mine) for one in (features, other))
    kept = mine > 0 if y.ndim > 2 else mine[:, 0] > 0
    np.testing.assert_array_equal(y[kept], z[kept])
    for path, gradient in found.items():
        np.testing.assert_array_equal(gradient, same[path], err_msg=path)


@generative
def test_future_changes_nothing_in_the_past(case):
    made = model(case.name)
    features = batch(made, [[B], [C]], LONG)
    mine = np.repeat(np.arange(LONG)[None] < 3, 2, axis=0).astype("float32")
    other = redrawn(features, lambda s: np.arange(s.shape[1])[None] >= 3, "decoder")
    (y, found), (z, same) = (differentiated(case.name)(one, mine) for one in (features, other))
    np.testing.assert_array_equal(y[:, :3], z[:, :3])
    for path, gradient in found.items():
        np.testing.assert_array_equal(gradient, same[path], err_msg=path)


@every
def test_padding_changes_nothing(case):
    made = model(case.name)
    tight, wide = (batch(made, [[B], [B]], length) for length in (SHORT, LONG))
    run, weights = differentiated(case.name), real(wide)
    y, z = numpy(forward(case.name)(tight)), run(wide, weights)[0]
    kept = (slice(None), slice(SHORT)) if len(z.shape) == 3 else slice(None)
    # Rows of another width take other kernels, which add in another order.
    assert_near(z[kept], y, 3e-6)
    noisy = redrawn(wide, lambda s: s == 0, *sides(wide))
    np.testing.assert_array_equal(run(noisy, weights)[0][kept], z[kept])


@generative
def test_prefill_and_steps_equal_all_at_once(case):
    made = model(case.name)
    features = batch(made, [[B], [C]], SHORT)
    features["decoder_segment_ids"][:] = 1
    whole, tokens = numpy(forward(case.name)(features)), features["decoder_input_tokens"]
    prompts = np.array([2, 4])
    start = {k: v for k, v in features.items() if k.startswith("encoder")}
    start["decoder_input_tokens"] = tokens[:, :4]
    start["decoder_segment_ids"] = (np.arange(4) < prompts[:, None]).astype("int32")
    token, state = quick(functools.partial(made.start, length=LENGTH))(start)
    step = quick(made.step)
    for position in (prompts - 1, prompts, prompts + 1):
        np.testing.assert_array_equal(numpy(token), tokens[[0, 1], position])
        logits, state = step(token, state)
        assert_near(logits, whole[[0, 1], position], 1e-6)
        token = tokens[[0, 1], position + 1]
    leading = [leaf.shape[:1] for leaf in keras.tree.flatten(state)]
    assert set(leading) == {(2,), ()}
    assert leading.count(()) == 1  # the slot that is written next


@every
def test_eager_equals_jit(case):
    made = model(case.name)
    features = batch(made, rows(case), LONG)
    weights = real(features)
    y, z = numpy(slower(made)(features)), differentiated(case.name)(features, weights)[0]
    weights = weights[..., None] if len(z.shape) == 3 else 1.0
    assert_near(y * weights, z * weights, 1e-5)


@every
def test_every_weight_gets_a_gradient(case):
    made = model(case.name)
    features = batch(made, rows(case), LONG)
    _, found = differentiated(case.name)(features, real(features))
    assert all(np.isfinite(g).all() for g in found.values())
    silent = [path for path, g in found.items() if np.abs(g).max() <= 1e-6]
    # A bias of the keys adds the same to all logits of a query: the softmax takes it away.
    # The noise of a router is drawn in training alone.
    assert [path for path in silent if not path.endswith(("key/bias", "noise/kernel"))] == []


@every
def test_dropout_only_in_training(case):
    made = model(case.name)
    features = batch(made, [[B], [C]], SHORT)

    def loss():
        outputs = made(features, training=True)
        return ops.sum(outputs), outputs

    train = differentiate(loss, [], made.non_trainable_variables)
    still, again = (numpy(forward(case.name)(features)) for _ in range(2))
    one, two = (train()[0] for _ in range(2))
    np.testing.assert_array_equal(still, again)
    assert np.abs(one - still).max() > 1e-3
    assert np.abs(one - two).max() > 1e-3


@pytest.fixture
def mixed():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@every
@pytest.mark.usefixtures("mixed")
def test_bfloat16(case):
    made = fresh_model(case)
    features = batch(made, [[B], [C]], SHORT)
    y = quick(made)(features)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert {v.dtype for v in made.trainable_variables} == {"float32"}
    weights = real(features)[..., None] if len(y.shape) == 3 else 1.0
    exact = numpy(forward(case.name)(features)) * weights
    assert_near(numpy(y) * weights, exact, 0.1)


@generative
@pytest.mark.usefixtures("mixed")
def test_types_of_a_state_survive_a_step(case):
    made = fresh_model(case)

    def steps(features):
        token, state = made.start(features, length=LENGTH)
        return state, made.step(token, state)[1]

    state, after = spec(steps, batch(made, [[B], [C]], SHORT))
    assert types(after) == types(state)
    assert {"bfloat16", "int32"} <= set(types(state))


def types(state):
    return [keras.backend.standardize_dtype(leaf.dtype) for leaf in keras.tree.flatten(state)]
