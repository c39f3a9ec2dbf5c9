"""Logits processors, samplers and noise against NumPy."""

import numpy as np
import pytest
from keras import ops

from lm.decode import sampling
from lm.decode.sampling import gumbel, row_keys

LOGITS = np.random.default_rng(0).standard_normal((5, 11)).astype("float32") * 2


def softmax(x: np.ndarray) -> np.ndarray:
    p = np.exp(x - x.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def kept(filtered: object) -> np.ndarray:
    return np.isfinite(ops.convert_to_numpy(filtered))


def test_temperature_sharpens_as_the_power_of_the_probabilities():
    logits = sampling.temperature(0.88)(ops.log(ops.array([[0.5, 0.3, 0.2]])))
    probabilities = ops.convert_to_numpy(ops.softmax(logits))
    np.testing.assert_allclose(probabilities, [[0.52284, 0.29259, 0.18457]], atol=5e-6)


@pytest.mark.parametrize("count", [1, 3, 11, 50])
def test_top_k_keeps_the_k_largest(count):
    ranks = (-LOGITS).argsort(-1).argsort(-1)
    np.testing.assert_array_equal(kept(sampling.top_k(count)(ops.array(LOGITS))), ranks < count)


@pytest.mark.parametrize("mass", [0.05, 0.5, 0.9, 1.0])
def test_top_p_keeps_the_smallest_set_with_the_mass(mass):
    expected = np.zeros(LOGITS.shape, bool)
    for row, probabilities in enumerate(softmax(LOGITS.astype("float64"))):
        order = np.argsort(-probabilities)
        count = 1 + np.searchsorted(np.cumsum(probabilities[order])[:-1], mass)
        expected[row, order[:count]] = True
    np.testing.assert_array_equal(kept(sampling.top_p(mass)(ops.array(LOGITS))), expected)


def test_processors_apply_in_order():
    processors = [sampling.temperature(3.0), sampling.top_k(4), sampling.top_p(0.6)]
    x = ops.array(LOGITS)
    for process in processors:
        x = process(x)
    top = np.sort(LOGITS, -1)[:, -4:] / 3  # rising
    mass_before = np.cumsum(softmax(top)[:, ::-1], -1) - softmax(top)[:, ::-1]
    np.testing.assert_array_equal(kept(x).sum(-1), (mass_before < 0.6).sum(-1))
    picked = sampling.make_sampler(processors)(ops.array(LOGITS), KEYS[:5], 0)
    assert kept(x)[np.arange(5), ops.convert_to_numpy(picked)].all()


@pytest.mark.parametrize(
    "make",
    [lambda: sampling.temperature(0.0), lambda: sampling.top_k(0), lambda: sampling.top_p(1.5)],
)
def test_a_setting_out_of_range_is_refused(make):
    with pytest.raises(ValueError, match=r"temperature|top_k|top_p"):
        make()


KEYS = row_keys(7, np.arange(20000, dtype="int32"), 1)


def test_draws_have_the_probabilities_of_the_softmax():
    probabilities = np.array([0.5, 0.3, 0.0, 0.2], "float32")
    with np.errstate(divide="ignore"):
        logits = np.tile(np.log(probabilities), (20000, 1))
    tokens = ops.convert_to_numpy(sampling.categorical(ops.array(logits), KEYS, 3))
    shares = np.bincount(tokens, minlength=4) / len(tokens)
    np.testing.assert_allclose(shares, probabilities, atol=0.015)
    assert shares[2] == 0


def test_noise_of_a_row_depends_on_its_number_alone():
    alone = gumbel(row_keys(7, np.array([13], "int32"), 2), 5, 6)
    together = gumbel(row_keys(7, np.arange(30, dtype="int32"), 2), 5, 6)
    # A logarithm may round differently by its index in a vector.
    np.testing.assert_allclose(
        ops.convert_to_numpy(alone), ops.convert_to_numpy(together)[26:28], rtol=1e-5
    )


def test_noise_is_new_for_another_seed_row_sample_and_step():
    rows = np.arange(3, dtype="int32")
    draws = [gumbel(row_keys(seed, rows, 2), step, 8) for seed in (1, 2) for step in (0, 1)]
    numbers = np.concatenate([ops.convert_to_numpy(x).reshape(-1) for x in draws])
    assert np.isfinite(numbers).all()
    assert len(np.unique(numbers)) == len(numbers)
