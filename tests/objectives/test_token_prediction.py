"""TokenPrediction against NumPy written from its equations, in float64."""

import numpy as np
import pytest

from lm.objectives.token_prediction import TokenPrediction, per_row
from tests.batches import batch
from tests.built import ROWS, objective
from tests.catalogue import OBJECTIVES, ROTARY_MODEL, having, part
from tests.engine import assert_near, differentiate, numpy

LENGTH = 15


def reference(logits, targets, weights, smoothing=0.0, z_loss=0.0):
    """Returns Σ w · loss, Σ w · cross entropy, Σ w · correct, and Σ w · log p of every row."""
    logits = logits.astype("float64")
    log_z = np.log(np.exp(logits).sum(-1))
    log_p = logits - log_z[..., None]
    one_hot = np.eye(logits.shape[-1])[targets]
    wanted = (1 - smoothing) * one_hot + smoothing / logits.shape[-1]
    loss = -(wanted * log_p).sum(-1) + z_loss * log_z**2
    cross_entropy = -(one_hot * log_p).sum(-1)
    correct = logits.argmax(-1) == targets
    sums = [(value * weights).sum() for value in (loss, cross_entropy, correct)]
    return *sums, -(cross_entropy * weights).sum(-1)


def given(made):
    features = batch(made.model, ROWS, LENGTH)
    half = np.random.default_rng(3).uniform(0, 1, features["decoder_loss_weights"].shape)
    return features | {"decoder_loss_weights": features["decoder_loss_weights"] * half}


@having(OBJECTIVES)
def test_sums_equal_the_reference(case):
    made = objective(case.name)
    features = given(made)
    outputs = made(features)
    targets, weights = features["decoder_target_tokens"], features["decoder_loss_weights"]
    loss, cross_entropy, correct, scores = reference(
        numpy(outputs), targets, weights, made.label_smoothing, made.z_loss
    )
    terms = numpy(made.terms(features, outputs))
    expected = {"loss": loss, "cross_entropy": cross_entropy, "accuracy": correct}
    for name, total in expected.items():
        assert_near(terms[name].total, total, 1e-6)
        assert_near(terms[name].weight, weights.sum(), 1e-6)
    rows = numpy(made.scores(features, outputs))
    assert_near(rows.log_likelihood, scores, 1e-6)
    assert_near(rows.correct.sum(), correct, 1e-6)
    assert_near(rows.weight, weights.sum(-1), 1e-6)
    assert correct != 0 or cross_entropy > 0


@having(OBJECTIVES)
def test_gradient_of_the_logits(case):
    """`w · ((1 + 2 z log Z) softmax - wanted)`: the z term scales the softmax part."""
    made = objective(case.name)
    features = given(made)
    logits = numpy(made(features)).astype("float64")
    weights = features["decoder_loss_weights"][..., None]
    log_z = np.log(np.exp(logits).sum(-1, keepdims=True))
    one_hot = np.eye(logits.shape[-1])[features["decoder_target_tokens"]]
    wanted = (1 - made.label_smoothing) * one_hot + made.label_smoothing / logits.shape[-1]
    softmax = np.exp(logits - log_z)
    expected = weights * ((1 + 2 * made.z_loss * log_z) * softmax - wanted)
    assert_near(gradient(made, features, logits), expected, 1e-6)


def gradient(made, features, logits):
    import keras

    variable = keras.Variable(logits.astype("float32"), name="logits")

    def loss():
        total = made.terms(features, variable * 1.0)["loss"].total
        return total, total

    return differentiate(loss, [variable])()[1]["logits"]


@having(OBJECTIVES)
def test_two_halves_add_up_to_the_batch(case):
    made = objective(case.name)
    features = given(made)
    halves = [{name: a[i : i + 1] for name, a in features.items()} for i in range(2)]
    whole = numpy(made.terms(features, made(features)))["loss"]
    parts = [numpy(made.terms(half, made(half)))["loss"] for half in halves]
    assert_near(sum(part.total for part in parts), whole.total, 1e-6)
    assert sum(part.weight for part in parts) == pytest.approx(whole.weight)


def test_the_encoder_side_is_predicted_without_a_decoder():
    made = objective("token_prediction")
    features = given(made)
    renamed = {name.replace("decoder", "encoder"): array for name, array in features.items()}
    outputs = made(features)
    one, other = (numpy(made.terms(f, outputs)) for f in (features, renamed))
    assert one["loss"].total == other["loss"].total


def test_a_loss_by_the_row_is_divided_by_the_sentences_alone():
    made = part(TokenPrediction, model=ROTARY_MODEL, divisor=per_row)()
    features = given(made) | {"decoder_loss_weights": np.array([[1.0] * LENGTH, [0.0] * LENGTH])}
    terms = numpy(made.terms(features, made(features)))
    assert {name: float(x.weight) for name, x in terms.items()} == {
        "loss": 1.0,
        "cross_entropy": LENGTH,
        "accuracy": LENGTH,
    }
    assert terms["loss"].total == terms["cross_entropy"].total
