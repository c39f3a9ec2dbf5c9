"""Uncertainty of metrics: standard errors, confidence intervals, tests of differences.

All come from resampling the examples, with a fixed seed: the same numbers at every call.

Source: Efron 1979 for the bootstrap; Koehn 2004 (https://aclanthology.org/W04-3250) for its use in
comparing systems; Fisher 1935 for the test by permutation.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95

Indices = np.ndarray
Measure = Callable[[Indices], float]
"""Indices of examples, with repetitions -> a metric."""


class Estimate(NamedTuple):
    """A metric with its standard error and its 95 % confidence interval."""

    value: float
    standard_error: float
    low: float
    high: float


def mean(values: np.ndarray) -> Measure:
    """Returns the measure `Σ v / n`."""
    return lambda indices: float(np.mean(values[indices]))


def ratio(values: np.ndarray, weights: np.ndarray) -> Measure:
    """Returns the measure `Σ v / Σ w`."""
    return lambda indices: float(np.sum(values[indices]) / np.sum(weights[indices]))


def exponential(measure: Measure) -> Measure:
    """Returns the measure `exp(m)`, such as a perplexity."""
    return lambda indices: float(np.exp(measure(indices)))


def estimate(measure: Measure, count: int, *, resamples: int = RESAMPLES) -> Estimate:
    """Returns a metric with its error, by the bootstrap.

    Args:
        measure: the metric.
        count: number of examples, which are drawn with replacement.
        resamples: number of bootstrap samples.

    Example:
        >>> found = estimate(mean(np.array([0.0, 1.0] * 50)), 100)
        >>> found.value, round(found.standard_error, 2), round(found.low, 1), round(found.high, 1)
        (0.5, 0.05, 0.4, 0.6)
    """
    chance = np.random.default_rng(0)
    drawn = [measure(chance.integers(0, count, count)) for _ in range(resamples)]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = measure(np.arange(count))
    return Estimate(value, float(np.std(drawn, ddof=1)), float(low), float(high))


class Difference(NamedTuple):
    """The difference B - A on the same examples, and its p-value."""

    value: float
    standard_error: float
    p_value: float


def paired_test(a: np.ndarray, b: np.ndarray, *, resamples: int = 10_000) -> Difference:
    """Returns the difference of two means and its two-sided p-value, by random signs.

    If A and B were equal, each example's difference would have a random sign.

        p = (1 + #{|Σ s_i (b_i − a_i)| ≥ |Σ (b_i − a_i)|}) / (1 + resamples)

    Args:
        a: a number for each example.
        b: another for the same examples.
        resamples: number of random assignments s of signs.

    Example:
        >>> a = np.zeros(20)
        >>> paired_test(a, a).p_value, paired_test(a, a + 1.0).p_value < 0.001
        (1.0, True)
    """
    differences = (b - a).astype("float64")
    nonzero = differences[differences != 0]
    chance = np.random.default_rng(0)
    observed, extreme = abs(nonzero.sum()) - 1e-12, 0
    for _ in range(resamples):
        signs = chance.integers(0, 2, len(nonzero)) * 2 - 1
        extreme += abs(np.sum(signs * nonzero)) >= observed
    error = np.sqrt(np.var(differences) / max(len(differences) - 1, 1))
    p_value = (1 + int(extreme)) / (1 + resamples)
    return Difference(float(differences.mean()), float(error), p_value)
