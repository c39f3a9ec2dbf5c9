"""Learning rates at the points where each schedule turns."""

import math

import keras
import numpy as np
import pytest

from lm.optim import schedules


def rates(schedule, *steps):
    return [float(schedule(step)) for step in steps]


def test_constant_is_constant():
    assert rates(schedules.Constant(value=0.5), 0, 10_000) == [0.5, 0.5]


def test_inverse_square_root_is_flat_until_the_warm_up_ends():
    schedule = schedules.InverseSquareRoot(warmup_steps=10_000)
    np.testing.assert_allclose(rates(schedule, 0, 9_999, 40_000), [0.01, 0.01, 0.005], rtol=1e-6)


def test_noam_peaks_at_the_end_of_the_warm_up():
    schedule = schedules.Noam(hidden_dim=64, warmup_steps=100)
    peak = 64**-0.5 * 100**-0.5
    np.testing.assert_allclose(rates(schedule, 99, 399), [peak, peak / 2], rtol=1e-6)
    assert rates(schedule, 49)[0] == pytest.approx(peak / 2)


def test_linear_rises_falls_and_stays_at_the_floor():
    schedule = schedules.Linear(peak=1.0, steps=30, floor=0.2, warmup_steps=10)
    expected = [0.1, 1.0, 0.6, 0.2, 0.2]
    np.testing.assert_allclose(rates(schedule, 0, 10, 20, 30, 99), expected, rtol=1e-6)


def test_cosine_rises_falls_and_stays_at_the_floor():
    schedule = schedules.Cosine(peak=1.0, steps=30, floor=0.1, warmup_steps=10)
    quarter = 0.1 + 0.45 * (1 + math.cos(math.pi / 4))
    expected = [0.1, 1.0, quarter, 0.55, 0.1, 0.1]
    np.testing.assert_allclose(rates(schedule, 0, 10, 15, 20, 30, 99), expected, rtol=1e-6)


def test_warmup_scales_another_schedule():
    schedule = schedules.Warmup(schedule=lambda: schedules.Constant(value=2.0), steps=4)
    np.testing.assert_allclose(rates(schedule, 0, 1, 3, 9), [0.5, 1.0, 2.0, 2.0], rtol=1e-6)


def test_a_keras_optimizer_follows_the_schedule():
    weight = keras.Variable(np.zeros(1, "float32"), name="weight")
    schedule = schedules.Linear(peak=1.0, steps=2)
    rule = keras.optimizers.SGD(schedule, name="sgd")
    rule.build([weight])
    steps = []
    for _ in range(3):
        rule.apply([np.ones(1, "float32")])
        steps.append(float(weight[0]))
    np.testing.assert_allclose(np.diff([0.0, *steps]), [-1.0, -0.5, 0.0])


def test_cosine_holds_its_peak():
    schedule = schedules.Cosine(peak=1.0, steps=30, warmup_steps=4, hold_steps=6)
    np.testing.assert_allclose(rates(schedule, 0, 5, 10, 20, 30), [0.25, 1, 1, 0.5, 0], atol=1e-6)


def test_noams_peak_is_where_noam_turns():
    noam = schedules.Noam(hidden_dim=64, warmup_steps=100, factor=2.0)
    peak = schedules.noam_peak(hidden_dim=64, warmup_steps=100, factor=2.0)
    assert rates(noam, 99)[0] == pytest.approx(peak)


def test_halving_is_constant_for_five_epochs_and_halves_at_every_half_after_them():
    schedule = schedules.Halving(peak=0.7, hold_steps=500, period=50)
    found = rates(schedule, 0, 499, 500, 550, 600, 650, 700)
    expected = [0.7, 0.7, 0.35, 0.175, 0.0875, 0.04375, 0.021875]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
