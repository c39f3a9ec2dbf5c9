"""Every branch in every kind of stack that admits it; masks from features; two streams."""

import numpy as np
import pytest

from lm.errors import LayerError
from lm.nn import masks
from lm.nn.branch import Context, Source
from lm.nn.funnel import FunnelStack
from lm.nn.funnel_pooling import CompleteWindows
from lm.nn.stack import Stack
from lm.nn.stack_state import Rows
from tests.built import MEMORY, noise
from tests.catalogue import BRANCHES, RELATIVE, SELF, having
from tests.engine import assert_near, filled, numpy, quick

CUT, LENGTH = 5, 12
SEGMENTS = np.array([[1] * CUT + [2] * (LENGTH - CUT)], "int32")
MEMORY_SEGMENTS = np.array([[1, 1, 2, 2, 2]], "int32")


def made(stack, *inputs):
    filled(stack, *inputs)
    return quick(stack)


@having(BRANCHES)
def test_a_bidirectional_stack_keeps_packed_examples_apart(case):
    stack = Stack(num_layers=1, layers=[case.factory], mask=masks.bidirectional, name="stack")
    x, memory = noise(1, 1, LENGTH), MEMORY[:1]
    run = made(stack, x, Rows(memory=memory))
    y, _ = run(x, Rows(segments=SEGMENTS, memory=memory, memory_segments=MEMORY_SEGMENTS))
    alone, _ = run(x[:, :CUT], Rows(memory=memory[:, :2]))
    assert y.shape == x.shape
    assert_near(y[:, :CUT], alone, 1e-6)


@pytest.mark.slow
@having(BRANCHES, "shortened")
def test_a_funnel_keeps_packed_examples_apart(case):
    stack = FunnelStack(
        block_sizes=[1, 1],
        num_decoder_layers=1,
        layers=[case.factory],
        pooling_windows=CompleteWindows,
        max_segments=2,
        name="stack",
    )
    x = noise(1, 1, LENGTH)
    run = made(stack, x, SEGMENTS)
    y, alone = run(x, SEGMENTS), run(x[:, :CUT], SEGMENTS[:, :CUT])
    assert y.shape == x.shape
    assert_near(y[:, :CUT], alone, 1e-6)


@pytest.mark.parametrize(
    "case", [c for c in BRANCHES if "shortened" in c.lacks], ids=lambda c: c[0]
)
def test_a_funnel_refuses_the_others_by_name(case):
    layers = {"layers": [case.factory], "pooling_windows": CompleteWindows}
    stack = FunnelStack(block_sizes=[1, 1], num_decoder_layers=0, **layers)
    with pytest.raises(LayerError, match=r"only read its own row|(reads|needs) a memory"):
        filled(stack, noise(1, 1, LENGTH), SEGMENTS)


@pytest.mark.parametrize("branch", [SELF, RELATIVE], ids=lambda b: b.__name__)
def test_a_mask_from_features_takes_the_place_of_the_rule(branch):
    """In the order of a permutation a token sees those before it, and no bit of the others."""
    stack = Stack(num_layers=1, layers=[branch], mask=masks.bidirectional, name="stack")
    x, order = noise(1, 1, LENGTH), np.random.default_rng(0).permutation(LENGTH)[None]
    run = made(stack, x)
    other = np.where((order < 6)[..., None], x, noise(2, 1, LENGTH))
    y, z = (
        numpy(run(each, Rows(attention_mask=numpy(masks.causal(order, order))))[0])
        for each in (x, other)
    )
    np.testing.assert_array_equal(y[order < 6], z[order < 6])
    rule = numpy(masks.causal(*[np.arange(LENGTH)[None]] * 2))
    causal = Stack(num_layers=1, layers=[branch], mask=masks.causal, name="stack")
    assert_near(run(x, Rows(attention_mask=rule))[0], made(causal, x)(x)[0], 1e-6)


@pytest.mark.parametrize("branch", [SELF, RELATIVE], ids=lambda b: b.__name__)
def test_two_streams_read_the_same_keys(branch):
    """Where both streams hold the same, the second gets what the first gets."""
    layer, x = branch(name="branch"), noise(1, 1, LENGTH)
    positions = np.arange(LENGTH, dtype="int32")[None]
    mask = masks.causal(positions, positions)[:, None]
    content = Context(positions=positions, mask=mask)
    query = content._replace(source=Source(x, positions, None))
    filled(layer, x, content)
    y = numpy(layer(x, content)[0])
    assert_near(layer(x, query)[0], y, 1e-6)
    other = noise(2, 1, LENGTH)
    other[:, 3] = x[:, 3]
    z = numpy(layer(other, query)[0])
    assert_near(z[:, 3], y[:, 3], 1e-6)  # its own query, the keys of the first stream
    assert np.abs(z[:, 4] - y[:, 4]).max() > 1e-3
