"""Random numbers against the published answers of Threefry and the moments of their laws."""

import keras
import numpy as np
import pytest
from keras import ops

from lm.nn.dropout import Dropout
from lm.nn.random import between_0_and_1, normal, threefry, uniform, word
from tests.engine import numpy

SHAPE = (50, 40, 100)


def seeded(seed=7):
    return keras.random.SeedGenerator(seed, name="seed")


@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_published_answers(key, counter, words):
    """Those that the authors' Random123 is tested with."""
    given = [tuple(ops.convert_to_tensor(np.uint32(x)) for x in pair) for pair in (key, counter)]
    assert tuple(int(x) for x in threefry(*given)) == words


def test_every_place_and_every_draw_has_a_number_of_its_own():
    generator = seeded()
    first, second = (numpy(uniform(SHAPE, generator)) for _ in range(2))
    np.testing.assert_array_equal(first, numpy(uniform(SHAPE, seeded())))
    assert (first == second).mean() < 1e-4
    assert (first == numpy(uniform(SHAPE, seeded(8)))).mean() < 1e-4
    for axis in range(3):  # neighbours know nothing of each other
        a, b = (np.take(first, range(i, SHAPE[axis] - 1 + i), axis) for i in (0, 1))
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.01


def test_numbers_are_uniform_and_leave_out_the_ends():
    u = numpy(uniform(SHAPE, seeded()))
    counts = np.histogram(u, 100, (0, 1))[0] / u.size
    assert counts == pytest.approx(np.full(100, 0.01), rel=0.1)
    ends = numpy(between_0_and_1(word(ops.array([0, -1], "int32"))))
    assert 0 < ends[0] < ends[1] < 1


def test_numbers_are_normal():
    z = numpy(normal(SHAPE, seeded()))
    moments = [np.mean(z**n) for n in (1, 2, 3, 4)]
    assert moments == pytest.approx([0, 1, 0, 3], abs=0.05)
    assert np.isfinite(z).all()


@pytest.mark.parametrize("axes", [(), (1,)])
def test_dropout_keeps_the_mean(axes):
    x = np.ones(SHAPE, "float32")
    y = numpy(Dropout(rate=0.25, broadcast_axes=axes, name="dropout")(x, training=True))
    assert np.unique(y) == pytest.approx([0, 4 / 3])
    assert y.mean() == pytest.approx(1, abs=0.05)
    assert all((np.ptp(y, axis=axis) == 0).all() == (axis in axes) for axis in range(3))
