"""Noise on gradients: its size by the paper's numbers, and where and how it is drawn."""

import keras
import numpy as np
import pytest

from lm.optim.gradient_noise import GradientNoise, noisy
from lm.optim.optimizer import Optimizer, global_norm, squares

SIZE = 4000


@pytest.mark.parametrize(
    ("eta", "deviations"),
    [
        (0.01, (0.1, 0.028107, 0.007943)),
        (0.3, (0.547723, 0.153947, 0.043506)),
        (1.0, (1.0, 0.281068, 0.079431)),
    ],
)
def test_the_deviation_falls_as_in_the_paper(eta, deviations):
    noise = GradientNoise(eta=eta)
    found = [float(noise.deviation(t)) for t in (0, 100, 10_000)]
    np.testing.assert_allclose(found, deviations, atol=1e-6)


def made(seed=0):
    def rule():
        return Optimizer(rule=keras.optimizers.SGD(1.0, name="sgd"), clip_norm=1.0)

    return noisy(optimizer=rule, eta=0.25, seed=seed)


def moves(variable, seed, updates=2):
    """Returns what each update adds to two weights whose gradients are far over the clip norm."""
    weights = [variable(np.zeros(SIZE), "a/kernel"), variable(np.zeros((SIZE, 1)), "b/kernel")]
    optimizer = made(seed)
    optimizer.build(weights)
    found = []
    for _ in range(updates):
        before = [np.asarray(w.value).copy() for w in weights]
        gradients = [keras.ops.full(w.shape, 1e3) for w in weights]
        optimizer.apply(gradients, global_norm(squares(gradients)))
        found += [np.ravel(b - w.value) for b, w in zip(before, weights, strict=True)]
    return np.stack(found)


def test_noise_follows_the_clipping_and_each_weight_and_update_has_its_own(variable):
    found = moves(variable, seed=0)
    clipped = 1 / np.sqrt(2 * SIZE)
    deviations = [0.5, 0.5, 0.5 * 2**-0.275, 0.5 * 2**-0.275]
    np.testing.assert_allclose(found.std(-1), deviations, rtol=0.05)
    np.testing.assert_allclose(found.mean(-1), clipped, atol=0.03)
    close = np.abs(np.corrcoef(found) - np.eye(4)).max()
    assert close < 0.06
    np.testing.assert_array_equal(moves(variable, seed=0), found)
    assert np.abs(moves(variable, seed=1) - found).max() > 0.5
