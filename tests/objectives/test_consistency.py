"""Consistency against NumPy written from its equations, in float64, and the paper's numbers."""

import keras
import numpy as np
import pytest

from lm.objectives import consistency, labels
from tests.engine import assert_near, differentiate, numpy

NOISE = np.random.default_rng(0)
STEPS = 8
ANNEALING = [
    # t/T = 0, 1/4, 1/2, 3/4, 1: the thresholds of two labels, by the release.
    (consistency.logarithmic, [0.5, 0.856748, 0.958958, 0.988241, 0.996631]),
    (consistency.linear, [0.5, 0.625, 0.75, 0.875, 1.0]),
    (consistency.exponential, [0.503369, 0.511759, 0.541042, 0.643252, 1.0]),
    (consistency.constant, [1.0] * 5),
]


class Given:
    """A model whose outputs are given."""

    sides = ("encoder",)


def supervised(name):
    return labels.Labels(model=lambda name: Given(), candidates=labels.classes, name=name)


def made(**settings):
    given = {"annealing": consistency.linear, "steps": STEPS} | settings
    return consistency.Consistency(labels=supervised, **given)


def features(rows, step, weights=1.0):
    return {
        "labels": np.arange(rows)[:, None].astype("int32") % 3,
        "label_weights": np.full((rows, 1), weights, "float32"),
        "step": np.full((rows,), step, "int32"),
    }


def softmax(z):
    powers = np.exp(z - z.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize(("annealing", "expected"), ANNEALING)
def test_thresholds_are_those_of_the_release(annealing, expected):
    progress = np.linspace(0, 1, 5).astype("float32")
    assert_near(numpy(annealing(progress)) / 2 + 0.5, expected, 1e-6)


def test_terms_equal_the_reference():
    rows, copies, step, tau, beta, weight = 12, 2, 2, 0.4, 0.5, 0.7
    logits = 2 * NOISE.standard_normal((rows, 1 + 2 * copies, 3))
    objective = made(temperature=tau, min_confidence=beta, consistency_weight=weight)
    given = features(rows, step)
    found = numpy(objective.terms(given, logits.reshape(-1, 3).astype("float32")))
    right = softmax(logits[:, 0])[np.arange(rows), np.arange(rows) % 3]
    kept = right <= step / STEPS * (1 - 1 / 3) + 1 / 3
    assert 0 < kept.sum() < rows
    original, augmented = logits[:, 1 : 1 + copies], logits[:, 1 + copies :]
    target, copy = softmax(original / tau), softmax(augmented)
    confident = softmax(original).max(-1) > beta
    divergence = (target * (np.log(target) - np.log(copy))).sum(-1)
    learned = -np.log(right)[kept].sum() / max(kept.sum(), 1)
    expected = learned + weight * (confident * divergence).mean()
    assert_near(found["loss"].total / found["loss"].weight, expected, 1e-5)
    assert found["loss"].weight == rows
    assert_near(
        found["consistency"].total / found["consistency"].weight,
        (confident * divergence).mean(),
        1e-5,
    )
    assert_near(found["confident_share"].total / (rows * copies), confident.mean(), 1e-6)
    assert_near(found["annealed_share"].total / rows, 1 - kept.mean(), 1e-6)
    assert_near(found["cross_entropy"].total, -np.log(right).sum(), 1e-5)


def test_the_divergence_is_that_of_the_release():
    pair = np.array([[[2.0, 0.0]]], "float32"), np.array([[[0.5, 0.0]]], "float32")
    found, _ = numpy(made(temperature=0.4).consistency(*pair))
    assert_near(found.total, 0.437244, 1e-5)
    none, share = numpy(made(min_confidence=0.9).consistency(*pair))
    assert none.total == share.total == 0


def test_only_the_copies_have_a_gradient_of_consistency():
    logits = NOISE.standard_normal((2, 3, 3)).astype("float32").reshape(-1, 3)
    variable = keras.Variable(logits, name="outputs")
    given = features(2, STEPS, weights=0.0)

    def loss():
        terms = made().terms(given, variable * 1.0)
        total = terms["consistency"].total
        return total, total

    gradient = differentiate(loss, [variable])()[1]["outputs"].reshape(2, 3, 3)
    assert not gradient[:, :2].any()
    assert gradient[:, 2].any()


def test_a_confident_wrong_model_learns_all_labels_at_the_first_step():
    logits = np.zeros((3, 3, 3), "float32")
    logits[np.arange(3), 0, (np.arange(3) + 1) % 3] = 9
    found = numpy(made().terms(features(3, 0), logits.reshape(-1, 3)))
    assert found["annealed_share"].total == 0


def test_rows_without_unlabelled_ones_are_those_of_labels():
    outputs = NOISE.standard_normal((2, 3)).astype("float32")
    given = features(2, 0)
    del given["step"]
    alone = supervised("labels")
    for method in ("terms", "scores", "predictions"):
        found, expected = (numpy(getattr(x, method)(given, outputs)) for x in (made(), alone))
        keras.tree.assert_same_structure(found, expected)
        for a, b in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
            np.testing.assert_array_equal(a, b)
