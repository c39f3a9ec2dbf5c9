"""Labels and Regression against NumPy written from their equations, in float64."""

import numpy as np
import pytest

from lm.objectives import label_sets, labels, regression
from lm.objectives.objective import predicts_every_token
from tests.engine import assert_near, differentiate, numpy

NOISE = np.random.default_rng(0)
SEGMENTS = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], "int32")


class Given:
    """A model whose outputs are given: only `terms` and the like are tested here."""

    sides = ("encoder",)


def made(objective, **settings):
    return objective(model=lambda name: Given(), **settings)


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def draw(*shape):
    return NOISE.standard_normal(shape).astype("float32")


# name -> candidates, features, outputs, and the logits [B, N, C] of which some are -inf.
def row():
    outputs = draw(2, 3)
    return labels.classes, {"labels": np.array([[2], [0]])}, outputs, outputs[:, None]


def tokens():
    outputs = draw(2, 4, 3)
    found = NOISE.integers(0, 3, (2, 4))
    return labels.classes, {"labels": found}, outputs, outputs


def spans():
    outputs = draw(2, 4, 2)
    logits = np.where(SEGMENTS[:, None] > 0, outputs.transpose(0, 2, 1), -np.inf)
    given = {"labels": np.array([[1, 3], [0, 1]]), "encoder_segment_ids": SEGMENTS}
    return labels.positions, given, outputs, logits


def choices():
    outputs, there = draw(6, 1), np.array([[1, 1, 1], [1, 1, 0]])
    segments = np.repeat(there[..., None], 4, axis=-1).astype("int32")
    logits = np.where(there > 0, outputs.reshape(2, 3), -np.inf)[:, None]
    given = {"labels": np.array([[2], [1]]), "encoder_segment_ids": segments}
    return labels.choices, given, outputs, logits


KINDS = pytest.mark.parametrize("kind", [row, tokens, spans, choices])


def reference(logits, labels, weights, class_weights=None, smoothing=0.0):
    """Returns Σ w·c·loss, Σ w·c, Σ w·cross entropy, Σ w·correct and the probabilities."""
    p = softmax(logits.astype("float64"))
    is_there = np.isfinite(logits)
    one_hot = np.eye(p.shape[-1])[labels]
    wanted = (1 - smoothing) * one_hot + smoothing * is_there / is_there.sum(-1, keepdims=True)
    log_p = np.log(np.where(is_there, p, 1))
    loss, cross_entropy = -(wanted * log_p).sum(-1), -(one_hot * log_p).sum(-1)
    scale = weights * (np.ones_like(weights) if class_weights is None else class_weights[labels])
    correct = p.argmax(-1) == labels
    sums = [(x * y).sum() for x, y in ((loss, scale), (cross_entropy, weights), (correct, weights))]
    return sums[0], scale.sum(), *sums[1:], p


@KINDS
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_sums_scores_and_probabilities_equal_the_reference(kind, smoothing):
    candidates, features, outputs, logits = kind()
    features["labels"] = features["labels"].astype("int32")
    weights = NOISE.uniform(0, 1, features["labels"].shape).astype("float32")
    features["label_weights"] = weights
    objective = made(labels.Labels, candidates=candidates, label_smoothing=smoothing)
    expected = reference(logits, features["labels"], weights, smoothing=smoothing)
    terms = numpy(objective.terms(features, outputs))
    for name, i in (("loss", 0), ("cross_entropy", 2), ("accuracy", 3)):
        assert_near(terms[name].total, expected[i], 1e-6)
        assert_near(terms[name].weight, weights.sum(), 1e-6)
    rows = numpy(objective.scores(features, outputs))
    assert_near(rows.log_likelihood.sum(), -expected[2], 1e-6)
    assert_near(rows.correct.sum(), expected[3], 1e-6)
    assert_near(rows.weight, weights.sum(-1), 1e-6)
    assert_near(objective.predictions(features, outputs), expected[4], 1e-6)


def test_classes_are_weighted():
    candidates, features, outputs, logits = row()
    features |= {"labels": np.array([[2], [0]], "int32"), "label_weights": np.ones((2, 1))}
    objective = made(labels.Labels, candidates=candidates, class_weights=[0.5, 1.0, 4.0])
    loss, weight, cross_entropy, _, _ = reference(
        logits, features["labels"], np.ones((2, 1)), np.array([0.5, 1.0, 4.0])
    )
    terms = numpy(objective.terms(features, outputs))
    assert_near(terms["loss"].total, loss, 1e-6)
    assert_near(terms["loss"].weight, weight, 1e-6)
    assert weight == 4.5
    assert_near(terms["cross_entropy"].total, cross_entropy, 1e-6)


def test_rows_of_padding_have_finite_gradients():
    candidates, features, outputs, _ = spans()
    features["encoder_segment_ids"] = np.zeros_like(SEGMENTS)
    features["labels"] = np.zeros((2, 2), "int32")
    features["label_weights"] = np.zeros((2, 2), "float32")
    objective = made(labels.Labels, candidates=candidates)
    gradient = gradients(objective, features, outputs)
    np.testing.assert_array_equal(gradient, np.zeros_like(outputs))


def gradients(objective, features, outputs):
    import keras

    variable = keras.Variable(outputs, name="outputs")

    def loss():
        total = objective.terms(features, variable * 1.0)["loss"].total
        return total, total

    return differentiate(loss, [variable])()[1]["outputs"]


def test_regression_equals_the_reference():
    outputs, scores = draw(3, 1), draw(3, 1)
    weights = np.array([[1.0], [0.5], [0.0]], "float32")
    features = {"labels": scores, "label_weights": weights}
    objective = made(regression.Regression)
    error = (outputs - scores).astype("float64")
    terms = numpy(objective.terms(features, outputs))
    assert_near(terms["loss"].total, (error**2 * weights).sum(), 1e-6)
    assert_near(terms["absolute_error"].total, (np.abs(error) * weights).sum(), 1e-6)
    assert_near(terms["loss"].weight, 1.5, 1e-6)
    rows = numpy(objective.scores(features, outputs))
    assert_near(rows.log_likelihood, (-(error**2) * weights)[:, 0], 1e-6)
    assert_near(objective.predictions(features, outputs), outputs, 0)
    assert_near(gradients(objective, features, outputs), 2 * error * weights, 1e-6)


def test_label_sets_equal_the_reference():
    outputs, found = draw(3, 4), NOISE.integers(0, 2, (3, 4)).astype("float32")
    weights = np.array([[1.0] * 4, [0.5] * 4, [0.0] * 4], "float32")
    features = {"labels": found, "label_weights": weights}
    objective = made(label_sets.LabelSets)
    p = 1 / (1 + np.exp(-outputs.astype("float64")))
    losses = -(found * np.log(p) + (1 - found) * np.log(1 - p))
    terms = numpy(objective.terms(features, outputs))
    assert_near(terms["loss"].total, (losses * weights).sum(), 1e-6)
    assert_near(terms["accuracy"].total, (((p > 0.5) == found) * weights).sum(), 1e-6)
    assert terms["loss"].weight == 6
    assert_near(objective.predictions(features, outputs), p[:, None], 1e-6)
    assert_near(gradients(objective, features, outputs), (p - found) * weights, 1e-6)


@pytest.mark.parametrize(
    ("sides", "whole"),
    [(("decoder",), True), (("encoder", "decoder"), True), (("encoder",), False)],
)
def test_an_encoder_predicts_no_whole_texts(sides, whole):
    objective = made(labels.Labels, candidates=labels.classes)
    objective.model.sides = sides
    assert predicts_every_token(objective) is whole
