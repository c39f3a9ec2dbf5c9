"""What every branch of the catalogue must do with a carry, given its context by a stack of one.

A sequence of two rows, LENGTH positions each, is read as the one row of twice the length.
"""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from lm.errors import LayerError
from lm.nn import masks, position, stack
from lm.nn.convolution import CausalConvolution
from lm.nn.stack_state import Rows, StackCarry
from tests.built import LENGTH, branch, noise, run
from tests.catalogue import BRANCHES, WHOLE, carrying, part
from tests.engine import assert_near, numpy, quick

every = carrying(BRANCHES)
ALL, NONE = np.ones(2, "int32"), np.zeros(2, "int32")


def windowed(query, key):
    """Attention that remembers nothing reads the row that it stands in."""
    return ops.logical_and(
        masks.causal(query, key), query[:, :, None] // LENGTH == key[:, None] // LENGTH
    )


@functools.cache
def whole(case):
    """Returns `x [B, 2 · LENGTH, D] -> y`, in one row without a carry."""
    made = branch(case.name)

    def read(x):
        kept = made.mask
        made.mask = kept if case.carry == WHOLE else windowed
        try:
            return run(made, x)
        finally:
            made.mask = kept

    return quick(read)


@functools.cache
def reader(case):
    """Returns `(x, carry, segments, carried) -> (y, carry after)` of a branch."""
    made = branch(case.name)
    memory = noise(99, 2, 5)

    def read(x, carry, segments, carried):
        rows = Rows(segments=segments, memory=memory, carried=carried)
        y, after = made(x, rows, state=carry)
        return y, after

    return quick(read)


def begin(case):
    return numpy(branch(case.name).initial_carry(2))


def two(case, x, carried=ALL, segments=None):
    """Returns the outputs of two rows, the second of which may go on."""
    ones = np.ones((2, LENGTH), "int32")
    segments = [ones, ones] if segments is None else segments
    y, carry = reader(case)(x[:, :LENGTH], begin(case), segments[0], NONE)
    z, after = reader(case)(x[:, LENGTH : 2 * LENGTH], numpy(carry), segments[1], carried)
    return numpy(y), numpy(z), numpy(after)


@every
def test_two_rows_with_a_carry_equal_the_one_long_row(case):
    x = noise(1, 2, 2 * LENGTH)
    y, z, after = two(case, x)
    assert_near(np.concatenate([y, z], axis=1), numpy(whole(case)(x)), 1e-6)
    keras.tree.assert_same_structure(after, begin(case))
    for new, old in zip(*map(keras.tree.flatten, (after, begin(case))), strict=True):
        assert (new.shape, new.dtype) == (old.shape, old.dtype)


@every
def test_a_border_between_rows_is_a_fresh_start(case):
    x = noise(2, 2, 2 * LENGTH)
    _, z, after = two(case, x, carried=NONE)
    fresh, fresh_after = reader(case)(
        x[:, LENGTH:], begin(case), np.ones((2, LENGTH), "int32"), NONE
    )
    assert_same((z, after), numpy((fresh, fresh_after)))


@every
def test_a_border_inside_a_row_hides_what_is_behind_it(case):
    """The rest of the row, and the row after it, are the same whatever stood before the border."""
    cut = 5
    segments = np.repeat([[1] * cut + [2] * (LENGTH - cut)], 2, axis=0).astype("int32")
    ones = np.ones((2, LENGTH), "int32")
    found = []
    for seed in (3, 4):
        x = noise(5, 2, 3 * LENGTH)
        x[:, : LENGTH + cut] = noise(seed, 2, LENGTH + cut)
        _, z, carry = two(case, x, segments=[ones, segments])
        last = reader(case)(x[:, 2 * LENGTH :], carry, ones, ALL)
        found.append((z[:, cut:], carry, numpy(last)))
    assert_same(*found)


@every
def test_padding_at_the_end_of_a_row_is_not_carried(case):
    """Rows of different lengths go on each from its own last token."""
    x, real = noise(6, 2, LENGTH + 4), np.array([4, LENGTH])
    segments = (np.arange(LENGTH) < real[:, None]).astype("int32")
    padded = x[:, :LENGTH] * segments[..., None].astype("float32")
    _, carry = reader(case)(padded, begin(case), segments, NONE)
    _, other = reader(case)(x[:, :LENGTH], begin(case), segments, NONE)
    assert_same(numpy(carry), numpy(other))
    full = reader(case)(x[:, :LENGTH], begin(case), np.ones_like(segments), NONE)[1]
    for left, right in zip(*map(keras.tree.flatten, numpy((carry, full))), strict=True):
        assert_near(left[1], right[1], 1e-6)


@pytest.mark.parametrize("name", ["parallel", "cross_attention", "gau", "switch", "top_two"])
def test_a_carry_of_nothing_is_none(name):
    made, x, memory = branch(name), noise(7, 2, LENGTH), noise(99, 2, 5)
    branches = [residual.initial_carry(2) for residual in made.residuals]
    state = StackCarry(np.zeros(2, "int32"), tuple(branches))
    ones = np.ones((2, LENGTH), "int32")
    rows = Rows(segments=ones, memory=memory, carried=NONE)
    y, after = made(x, rows, state=state)
    assert_same(numpy(y), numpy(run(made, x, segments=ones)))
    assert keras.tree.flatten(after.residuals) == []


def test_positions_that_end_are_refused_where_sequences_do_not():
    table = part(position.LearnedPosition, max_sequence_length=LENGTH)
    layers = [part(CausalConvolution)]
    made = stack.Stack(num_layers=1, layers=layers, mask=masks.causal, position=table, name="s")
    made(noise(1, 2, LENGTH))
    with pytest.raises(LayerError, match=r"LearnedPosition.max_sequence_length = 12 limits"):
        made.initial_carry(2)


def assert_same(left, right):
    for a, b in zip(keras.tree.flatten(left), keras.tree.flatten(right), strict=True):
        np.testing.assert_array_equal(a, b)
