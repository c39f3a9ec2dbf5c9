"""Pooling inside each example, the way back, the stack on packed rows, numbers that do not fit."""

import keras
import numpy as np
import pytest
from keras import activations, ops

from lm.errors import LayerError
from lm.nn import feedforward, funnel, funnel_attention, funnel_pooling, norm, residual
from lm.nn.funnel_pooling import Alignment, AllWindows, CompleteWindows, Row, pool, upsample
from lm.nn.reports import collect
from tests.built import noise
from tests.catalogue import part
from tests.engine import assert_near, filled, numpy, quick

SIZES = [5, 1, 6, 4]
SEGMENTS = np.repeat([1, 2, 3, 4, 0], [*SIZES, 2])[None].astype("int32")
both_windows = pytest.mark.parametrize("windows", [CompleteWindows(), AllWindows()])
FEED = part(feedforward.FeedForward, intermediate_dim=24, activation=activations.relu)
CLOSE = {"after_add": [norm.LayerNorm]}


def layers(distance=funnel_attention.shifted, **sizes):
    given = {"num_heads": 2, "distance": distance} | sizes
    attention = part(funnel_attention.RelativeAttention, **given)
    return [part(residual.Residual, branch=b, **CLOSE) for b in (attention, FEED)]


def make(x=None, **changes):
    given = {"block_sizes": [1, 1, 1], "num_decoder_layers": 1, "layers": layers()}
    made = funnel.FunnelStack(
        **(given | {"pooling_windows": CompleteWindows, "name": "stack"} | changes)
    )
    filled(made, noise(0, 1, 8) if x is None else x)
    return made


def pooled(x, windows):
    """One example: [CLS] alone, then pairs; what has no partner is kept or not."""
    tail = x[1:]
    even = len(tail) // 2 * 2
    means = tail[:even].reshape(-1, 2, x.shape[-1]).mean(1)
    rest = tail[even:] if isinstance(windows, AllWindows) else tail[:0]
    return np.concatenate([x[:1], means, rest])


@pytest.mark.parametrize(
    ("windows", "lengths"),
    [
        (CompleteWindows(), [[512, 256, 128], [8, 4, 2]]),
        (AllWindows(), [[512, 257, 129], [8, 5, 3, 2]]),
    ],
)
def test_lengths(windows, lengths):
    for row in lengths:
        assert [windows.length(n) for n in row[:-1]] == row[1:]


@both_windows
def test_every_example_of_a_row_is_pooled_by_itself(windows):
    x = noise(1, 1, SEGMENTS.shape[1])
    alignment = Alignment(SEGMENTS, windows=windows, stride=4, max_segments=4)
    y, row = alignment.align(x), alignment.align_row(Row(SEGMENTS))
    np.testing.assert_array_equal(numpy(alignment.restore(y))[0, :-2], x[0, :-2])
    expected = np.split(x[0], np.cumsum(SIZES))[:4]
    for _ in range(2):
        y, row = pool(y, row, windows)
        expected = [pooled(each, windows) for each in expected]
        owners = numpy(row.segments)[0]
        for segment, one in enumerate(expected, 1):
            assert_near(numpy(y)[0][owners == segment], one, 1e-6)


@both_windows
def test_a_constant_stays_constant_and_padding_does_not_dilute_it(windows):
    x = np.where(SEGMENTS[..., None] > 0, 3.0, np.inf).astype("float32")
    y, row = pool(x, Row(np.minimum(SEGMENTS, 1)), windows)
    assert set(numpy(y)[numpy(row.segments) > 0].flatten()) == {3.0}


def test_upsampling_repeats_windows_and_leaves_zeros():
    row, pooled = Row(np.ones((1, 512), "int32")), Row(np.ones((1, 128), "int32"))
    x = np.arange(1, 129, dtype="float32")[None, :, None]
    expected = [1] + [n for n in range(2, 129) for _ in range(4)] + [0] * 3
    assert numpy(upsample(x, pooled, row, 4))[0, :, 0].tolist() == expected


@pytest.mark.slow
@both_windows
def test_packed_examples_equal_the_two_alone(windows):
    made = make(noise(0, 1, 16), pooling_windows=type(windows), max_segments=4)
    x = noise(2, 1, SEGMENTS.shape[1])
    packed = numpy(made(x, SEGMENTS))[0]
    for segment, size in enumerate(SIZES, 1):
        mine = SEGMENTS[0] == segment
        alone = np.concatenate([x[:, mine], noise(3, 1, 12 - size)], axis=1)
        y = made(alone, (np.arange(12) < size).astype("int32")[None])
        assert_near(numpy(y)[0, :size], packed[mine], 1e-6)


def test_padding_does_not_reach_the_halved_states():
    run = quick(make(num_decoder_layers=0))
    x, segments = noise(4, 1, 12), np.array([[1] * 9 + [0] * 3], "int32")
    y, z = (
        numpy(run(np.concatenate([x[:, :9], more], axis=1), segments))
        for more in (x[:, 9:], noise(5, 1, 3))
    )
    assert y.shape == (1, 3, 16)
    np.testing.assert_array_equal(y, z)


def test_order_counts():
    run, x = quick(make()), noise(6, 1, 8)
    backwards = np.concatenate([x[:, :1], x[:, :0:-1]], axis=1)
    assert np.abs(numpy(run(x)) - numpy(run(backwards))).max() > 1e-2


def test_the_two_forms_of_distance_agree():
    x = noise(7, 1, SEGMENTS.shape[1])
    forms = (funnel_attention.shifted, funnel_attention.factorised)
    one, other = (quick(make(layers=layers(form), max_segments=4)) for form in forms)
    assert_near(one(x, SEGMENTS), other(x, SEGMENTS), 1e-5)


def test_a_row_with_too_many_examples_is_not_a_number_and_is_counted():
    made, x = make(max_segments=2), noise(8, 2, 8)
    segments = np.array([[1, 1, 1, 1, 2, 2, 2, 0], [1, 1, 2, 2, 3, 3, 3, 0]], "int32")

    def run(x, segments):
        with collect() as reported:
            return made(x, segments), reported.metrics()["crowded_rows"]

    y, crowded = numpy(quick(run)(x, segments))
    assert np.isfinite(y[0]).all() and np.isnan(y[1]).all()
    assert [float(n) for n in crowded] == [1, 2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"block_sizes": []}, "FunnelStack.block_sizes"),
        ({"block_sizes": [4, 0]}, r"block_sizes .* got \[4, 0\]"),
        ({"block_repeats": [1, 2]}, r"block_repeats must be 3 numbers .* got \[1, 2\]"),
        ({"block_repeats": [1, 0, 1]}, "FunnelStack.block_repeats"),
        ({"num_decoder_layers": -1}, "FunnelStack.num_decoder_layers"),
        ({"max_segments": 0}, "FunnelStack.max_segments"),
        ({"block_sizes": [1] * 4}, "pooled 3 times.*TASK_FEATURE_LENGTHS"),
        ({"layers": layers(num_heads=3)}, "num_heads = 3"),
        ({"x": np.zeros((1, 8, 5), "float32"), "layers": layers(num_heads=5)}, "even width"),
    ],
)
def test_what_does_not_fit_is_refused(changes, words):
    with pytest.raises(LayerError, match=words):
        make(**changes)


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (4, 4), (4, 2)])
@pytest.mark.parametrize("form", [funnel_attention.shifted, funnel_attention.factorised])
def test_distance_scores(form, strides):
    """`q_t · R(p_t - p_s) W` with p = 1 + stride · (i - 1), in float64."""
    stride, key_stride = strides
    count, keys, width, heads, dim = 6, 6 * stride // key_stride, 8, 2, 3
    draw = np.random.default_rng(0)
    query = draw.standard_normal((2, count, heads, dim))
    kernel = draw.standard_normal((width, heads, dim))
    positions, key_positions = (
        1 + s * (np.arange(n) - 1) for s, n in ((stride, count), (key_stride, keys))
    )
    frequencies = 10_000.0 ** (-np.arange(width // 2) / (width // 2))
    angles = (positions[:, None] - key_positions)[..., None] * frequencies
    relative = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)  # [T, S, D]
    expected = np.einsum("bthk,tsd,dhk->bhts", query, relative, kernel)
    sinusoids = funnel_attention.relative_sinusoids(count, stride, keys, key_stride, width)
    given = (ops.cast(a, "float32") for a in (query, kernel))
    assert_near(form(*given, sinusoids), expected, 1e-6)


def test_the_two_forms_agree_on_long_rows():
    query, kernel = (keras.random.normal(shape, seed=1) for shape in ((1, 256, 2, 4), (32, 2, 4)))
    sinusoids = funnel_attention.relative_sinusoids(256, 2, 512, 1, 32)
    shifted = funnel_attention.shifted(query, kernel, sinusoids)
    assert_near(funnel_attention.factorised(query, kernel, sinusoids), shifted, 1e-5)


def test_token_types_of_cls_equal_all():
    types = np.array([[funnel.CLS_TYPE, 0, 1]])
    seen = numpy(funnel.same_type(types, types))[0, 0].astype(int).tolist()
    assert seen == [[1, 1, 1], [1, 1, 0], [1, 0, 1]]


def test_a_window_of_places_has_the_type_of_its_first():
    row = Row(np.ones((1, 6), "int32"), np.array([[2, 0, 1, 1, 0, 0]], "int32"))
    _, pooled = pool(noise(9, 1, 6), row, funnel_pooling.CompleteWindows())
    assert numpy(pooled.types).tolist() == [[2, 0, 1]]
