"""What every model of the catalogue must do."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from tests.batches import batch, output_side
from tests.built import LENGTH, ROWS, A, B, C, fresh_model, model
from tests.catalogue import MODELS, VOCABULARY_SIZE, having
from tests.engine import assert_all_near, assert_near, differentiate, jit, numpy, quick

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
    return quick(model(name))


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
    packed = batch(made, [[A, B]], 12)
    y, found = differentiated(case.name)(packed, real(packed))
    is_pooled = y.ndim == 2  # the vector of a row is that of its first example
    alone = batch(made, [[A]] if is_pooled else [[A], [B]], 12)
    z, summed = differentiated(case.name)(alone, real(alone))
    cut = len(A[1])
    if not is_pooled:
        end = len(B[1])
        y, z = y[0, : cut + end], np.concatenate([z[0, :cut], z[1, :end]])
    assert_near(y, z, 1e-6)
    assert_all_near(found, summed, 1e-5)


@packing
def test_other_segments_change_nothing(case):
    made = model(case.name)
    features = batch(made, ROWS, 15)
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
    features = batch(made, [[B], [C]], 7)
    mine = np.repeat(np.arange(7)[None] < 3, 2, axis=0).astype("float32")
    other = redrawn(features, lambda s: np.arange(s.shape[1])[None] >= 3, "decoder")
    (y, found), (z, same) = (differentiated(case.name)(one, mine) for one in (features, other))
    np.testing.assert_array_equal(y[:, :3], z[:, :3])
    for path, gradient in found.items():
        np.testing.assert_array_equal(gradient, same[path], err_msg=path)


@every
def test_padding_changes_nothing(case):
    made = model(case.name)
    tight, wide = (batch(made, [[B]], length) for length in (7, 11))
    run = forward(case.name)
    y, z = run(tight), run(wide)
    # Rows of another width take other kernels, which add in another order.
    assert_near(z[:, :7] if len(z.shape) == 3 else z, y, 3e-6)
    noisy = redrawn(wide, lambda s: s == 0, *sides(wide))
    kept = (slice(None), slice(7)) if len(z.shape) == 3 else slice(None)
    np.testing.assert_array_equal(numpy(run(noisy))[kept], numpy(z)[kept])


@generative
def test_prefill_and_steps_equal_all_at_once(case):
    made = model(case.name)
    features = batch(made, [[B], [C]], 7)
    features["decoder_segment_ids"][:] = 1
    whole, tokens = numpy(forward(case.name)(features)), features["decoder_input_tokens"]
    prompts = np.array([2, 4])
    start = {k: v for k, v in features.items() if k.startswith("encoder")}
    start["decoder_input_tokens"] = tokens[:, :4]
    start["decoder_segment_ids"] = (np.arange(4) < prompts[:, None]).astype("int32")
    token, state = quick(functools.partial(made.start, length=LENGTH))(start)
    step = quick(made.step)
    for place in (prompts - 1, prompts, prompts + 1):
        np.testing.assert_array_equal(numpy(token), tokens[[0, 1], place])
        logits, state = step(token, state)
        assert_near(logits, whole[[0, 1], place], 1e-6)
        token = tokens[[0, 1], place + 1]
    leading = [leaf.shape[:1] for leaf in keras.tree.flatten(state)]
    assert set(leading) == {(2,), ()}
    assert leading.count(()) == 1  # the slot that is written next


@every
def test_eager_equals_jit(case):
    made = model(case.name)
    features = batch(made, ROWS, 15)
    weights = real(features)[..., None]
    y, z = jit(made)(features), made(features)
    weights = weights if len(z.shape) == 3 else 1.0
    assert_near(numpy(y) * weights, numpy(z) * weights, 1e-5)


@every
def test_every_weight_gets_a_gradient(case):
    made = model(case.name)
    features = batch(made, ROWS, 15)
    _, found = differentiated(case.name)(features, real(features))
    assert all(np.isfinite(g).all() for g in found.values())
    silent = [path for path, g in found.items() if np.abs(g).max() <= 1e-6]
    # A bias of the keys adds the same to all logits of a query: the softmax takes it away.
    # The noise of a router is drawn in training alone.
    assert [path for path in silent if not path.endswith(("key/bias", "noise/kernel"))] == []


@every
def test_dropout_only_in_training(case):
    made = model(case.name)
    features = batch(made, [[B]], 7)
    still, again, one, two = (called(made, features, phase) for phase in PHASES)
    np.testing.assert_array_equal(still, again)
    assert np.abs(one - still).max() > 1e-3
    assert np.abs(one - two).max() > 1e-3


PHASES = (None, False, True, True)


def called(made, features, training):
    """Returns the outputs and lets the random state go on."""

    def loss():
        outputs = made(features, training=training)
        return ops.sum(outputs), outputs

    return differentiate(loss, [], made.non_trainable_variables)()[0]


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
    features = batch(made, [[B], [C]], 7)
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
    start = quick(functools.partial(made.start, length=LENGTH))
    token, state = start(batch(made, [[B], [C]], 7))
    _, after = quick(made.step)(token, state)
    assert types(after) == types(state)
    assert {"bfloat16", "int32"} <= set(types(state))


def types(state):
    return [keras.backend.standardize_dtype(leaf.dtype) for leaf in keras.tree.flatten(state)]
