"""What every model of the catalogue that has a carry must do with one."""

import functools

import keras
import numpy as np
from keras import ops

from lm.nn import masks
from tests.batches import example
from tests.built import model
from tests.catalogue import MODELS, VOCABULARY_SIZE, WHOLE, carrying
from tests.engine import assert_near, differentiate, numpy, quick

every = carrying(MODELS)
LENGTH = 8
TEXT = np.array([example(seed, 0, 2 * LENGTH, VOCABULARY_SIZE)[1] for seed in (1, 2)], "int32")


def windowed(query, key):
    row = query[:, :, None] // LENGTH == key[:, None] // LENGTH
    return ops.logical_and(masks.causal(query, key), row)


def features(tokens, continues, segments=None):
    segments = np.ones_like(tokens) if segments is None else segments
    starts = np.argmax(segments[:, :, None] == segments[:, None], axis=-1)
    return {
        "decoder_input_tokens": tokens,
        "decoder_segment_ids": segments,
        "decoder_positions": (np.arange(tokens.shape[1]) - starts).astype("int32"),
        "decoder_continues": np.array([continues] * 2, "int32"),
    }


@functools.cache
def reader(case):
    return quick(lambda features, carry: model(case.name)(features, carry=carry))


def read(case, tokens, carry, continues, segments=None):
    return numpy(reader(case)(features(tokens, continues, segments), carry))


def begin(case):
    return numpy(model(case.name).initial_carry(2))


@every
def test_two_rows_with_a_carry_equal_the_one_long_row(case):
    made = model(case.name)
    kept = made.decoder.mask
    made.decoder.mask = kept if case.carry == WHOLE else windowed
    whole = numpy(quick(made)(features(TEXT, 0)))
    made.decoder.mask = kept
    y, carry = read(case, TEXT[:, :LENGTH], begin(case), 0)
    z, after = read(case, TEXT[:, LENGTH:], carry, 1)
    assert_near(np.concatenate([y, z], axis=1), whole, 1e-6)
    keras.tree.assert_same_structure(after, carry)


@every
def test_a_border_is_a_fresh_start_bit_for_bit(case):
    """Inside a row, and between rows."""
    cut = 3
    segments = np.repeat([[1] * cut + [2] * (LENGTH - cut)], 2, axis=0).astype("int32")
    fresh = read(case, TEXT[:, LENGTH:], begin(case), 0)
    _, carry = read(case, TEXT[:, :LENGTH], begin(case), 0)
    assert_same(read(case, TEXT[:, LENGTH:], carry, 0), fresh)
    other = (TEXT + 1) % VOCABULARY_SIZE
    found = []
    for tokens in (TEXT, other):
        mixed = np.concatenate([tokens[:, :cut], TEXT[:, cut:LENGTH]], axis=1)
        _, before = read(case, tokens[:, LENGTH:], begin(case), 0)
        y, after = read(case, mixed, before, 1, segments)
        found.append((y[:, cut:], after, read(case, TEXT[:, LENGTH:], after, 1)))
    assert_same(*found)


@every
def test_no_gradient_goes_back_into_the_batch_before(case):
    """What a row hands on is a number to the next row, not a function of its weights."""
    made = model(case.name)
    rows = [features(TEXT[:, :LENGTH], 0), features(TEXT[:, LENGTH:], 1)]

    def loss(carry):
        if carry is None:
            _, carry = made(rows[0], carry=made.initial_carry(2))
        outputs, _ = made(rows[1], carry=carry)
        return ops.sum(ops.sin(outputs)), outputs

    weights = made.trainable_variables
    _, through = differentiate(lambda: loss(None), weights)()
    _, carry = read(case, TEXT[:, :LENGTH], begin(case), 0)
    _, given = differentiate(loss, weights)(carry)
    for path, gradient in given.items():
        assert_near(through[path], gradient, 1e-5)


def assert_same(left, right):
    for a, b in zip(keras.tree.flatten(left), keras.tree.flatten(right), strict=True):
        np.testing.assert_array_equal(a, b)
