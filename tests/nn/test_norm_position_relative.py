"""Norms, positions and T5's buckets against NumPy and against the table of break points."""

import numpy as np
import pytest

from lm.errors import LayerError
from lm.nn.norm import LayerNorm, RMSNorm
from lm.nn.position import LearnedPosition, RotaryPosition, SinusoidalPosition
from lm.nn.relative import RelativeBias, bucket
from tests.built import noise
from tests.catalogue import WIDTH
from tests.engine import assert_near, filled, numpy
from tests.nn import reference

X = noise(1, 2, 7)
POSITIONS = np.array([range(7), [0, 1, 2, 0, 1, 2, 3]], "int32")


def built(layer, *inputs):
    filled(layer, *inputs)
    return layer, {name.split("/")[-1]: a for name, a in reference.weights(layer).items()}


def test_layer_norm():
    layer, w = built(LayerNorm(epsilon=0.1, name="norm"), X)
    assert_near(layer(3 + X), reference.layer_norm(3.0 + X, w["scale"], w["bias"], 0.1), 1e-6)


def test_rms_norm():
    layer, w = built(RMSNorm(epsilon=0.1, name="norm"), X)
    assert_near(layer(X), reference.rms_norm(X, w["scale"], 0.1), 1e-6)


def test_rms_norm_ignores_the_length_of_a_vector():
    layer, _ = built(RMSNorm(name="norm"), X)
    assert_near(layer(100 * X), layer(X), 1e-5)


def test_sinusoidal_positions():
    y = SinusoidalPosition(name="position")(X, POSITIONS)
    assert_near(y, X + reference.sinusoid(POSITIONS, WIDTH), 1e-6)


def test_learned_positions():
    layer, w = built(LearnedPosition(max_sequence_length=7, name="position"), X, POSITIONS)
    assert_near(layer(X, POSITIONS), X + w["embeddings"][POSITIONS], 1e-6)


def test_positions_beyond_the_table_are_refused():
    with pytest.raises(ValueError, match="7 positions do not fit"):
        LearnedPosition(max_sequence_length=6, name="position")(X, POSITIONS)


def test_an_odd_width_has_no_sines_and_cosines():
    with pytest.raises(LayerError, match=r"a width of 15 is odd .*: change HIDDEN_DIM"):
        SinusoidalPosition(name="position")(X[..., :15], POSITIONS)
    with pytest.raises(LayerError, match=r"a width of 15 is odd .*: change HEAD_DIM"):
        RotaryPosition(name="position")(X[:, :, None, :15], POSITIONS)


# The first distance of every bucket; both sides of 32 buckets up to distance 128.
BOTH_SIDES = [*range(8), 8, 12, 16, 23, 32, 46, 64, 91]
ONE_SIDE = [*range(16), 16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113]


def buckets(distances, *, bidirectional):
    distances = np.array(distances, "int32")
    return numpy(bucket(distances, num_buckets=32, max_distance=128, bidirectional=bidirectional))


def expected(distances, first):
    """Returns the last bucket whose first distance is not beyond."""
    return np.searchsorted(first, distances, side="right") - 1


def test_buckets_of_an_encoder():
    far = np.arange(200)
    left, right = buckets(-far, bidirectional=True), buckets(far, bidirectional=True)
    np.testing.assert_array_equal(left, expected(far, BOTH_SIDES))
    np.testing.assert_array_equal(right[1:], expected(far, BOTH_SIDES)[1:] + 16)
    assert right[0] == 0


def test_buckets_of_a_decoder():
    far = np.arange(200)
    left, right = buckets(-far, bidirectional=False), buckets(far, bidirectional=False)
    np.testing.assert_array_equal(left, expected(far, ONE_SIDE))
    assert not right.any()


def test_relative_bias_is_a_row_of_the_table_per_distance():
    query, key = np.arange(5, dtype="int32")[None], np.arange(9, dtype="int32")[None]
    layer = RelativeBias(num_heads=2, bidirectional=True, name="bias")
    layer, w = built(layer, query, key)
    table = w["embeddings"][buckets(key[:, None] - query[..., None], bidirectional=True)]
    assert_near(layer(query, key), table.transpose(0, 3, 1, 2), 1e-7)
