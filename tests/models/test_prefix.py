"""A prefix whose tokens all see each other (`decoder_causal_attention`), whole and in steps."""

import functools

import numpy as np

from tests.batches import batch
from tests.built import LENGTH, B, C, model
from tests.catalogue import VOCABULARY_SIZE
from tests.engine import assert_near, numpy, quick

PREFIX = 4


@functools.cache
def compiled():
    return quick(model("rotary"))


def forward(given):
    return compiled()(given)


def features(*, seed=None):
    made = batch(model("rotary"), [[B], [C]], 6 + 1)
    made["decoder_segment_ids"][:] = 1
    made["decoder_causal_attention"] = np.repeat([[1] * PREFIX + [0] * 3], 2, axis=0).astype(
        "int32"
    )
    if seed is not None:
        noise = np.random.default_rng(seed)
        made["decoder_input_tokens"] = made["decoder_input_tokens"].copy()
        made["decoder_input_tokens"][:, PREFIX - 1] = noise.integers(1, VOCABULARY_SIZE, 2)
    return made


def test_the_prefix_sees_all_of_itself_and_nothing_behind():
    whole = numpy(forward(features()))
    last = numpy(forward(features(seed=5)))
    assert np.abs(whole[:, 0] - last[:, 0]).min() > 0
    behind = features()
    behind["decoder_input_tokens"][:, PREFIX:] = 1
    later = numpy(forward(behind))
    np.testing.assert_array_equal(whole[:, :PREFIX], later[:, :PREFIX])


def test_without_a_prefix_the_model_is_causal():
    plain = features()
    none = plain | {"decoder_causal_attention": np.zeros_like(plain["decoder_causal_attention"])}
    del plain["decoder_causal_attention"]
    assert_near(forward(plain), forward(none), 1e-6)  # without the prefix another program


def test_prefill_and_steps_equal_all_at_once():
    made, given = model("rotary"), features()
    whole, tokens = numpy(forward(given)), given["decoder_input_tokens"]
    prompt = {name: array[:, : PREFIX + 1] for name, array in given.items()}
    token, state = quick(functools.partial(made.start, length=LENGTH))(prompt)
    step = quick(made.step)
    for position in range(PREFIX, 6):
        logits, state = step(token, state)
        assert_near(logits, whole[:, position], 1e-6)
        token = tokens[:, position + 1]


def test_a_packed_prefix_ends_at_its_segment():
    made = model("rotary")
    packed = batch(made, [[B, C]], LENGTH + 1)
    marks = np.zeros((1, LENGTH + 1), "int32")
    marks[0, :3] = marks[0, 7:10] = 1
    y = numpy(forward(packed | {"decoder_causal_attention": marks}))
    alone = batch(made, [[C]], 6) | {"decoder_causal_attention": marks[:, 7:13]}
    assert_near(y[:, 7:13], forward(alone), 1e-6)
