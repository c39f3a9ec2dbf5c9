"""Logits in parts: sums, scores and gradients as of logits made whole; never more than a part."""

import keras
import numpy as np
import pytest
from keras import ops

from lm import engines
from lm.nn.heads import (
    Logits,
    LogitsInput,
    MaskedLanguageHead,
    TiedLogits,
    project,
    project_from_table,
)
from lm.nn.kernels import table_product
from lm.objectives import cross_entropy
from lm.objectives.token_prediction import TokenPrediction
from lm.optim import adamw
from tests.batches import batch
from tests.built import ROWS
from tests.catalogue import MODELS, part
from tests.engine import assert_near, differentiate, filled, numpy, quick

LENGTH = 15  # two rows of it are 30 positions, which 4 parts do not divide
HEADS = {
    "own": part(Logits),
    "tied": part(TiedLogits, scale_exponent=-0.5),
    "bias": part(MaskedLanguageHead, activation=ops.tanh),
}


def made(head, chunks, **settings):
    case = next(case for case in MODELS if case.name == "rotary")
    model = part(case.factory, head=HEADS[head])
    objective = TokenPrediction(model=model, chunks=chunks, **settings)
    features = batch(objective.model, ROWS, LENGTH)
    filled(objective, features)
    draw = np.random.default_rng(0)
    weights = draw.uniform(0, 1, features["decoder_loss_weights"].shape).astype("float32")
    return objective, features | {
        "decoder_loss_weights": weights * features["decoder_loss_weights"]
    }


def outcome(objective, features):
    """Returns the terms, the gradients of the loss, and the sums of every row."""

    def loss():
        terms = objective.terms(features, objective(features))
        return terms["loss"].total * 3.0, terms

    terms, gradients = differentiate(loss, objective.trainable_variables)()
    scores = quick(lambda: objective.scores(features, objective(features)))
    return numpy(terms), gradients, numpy(scores())


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "settings",
    [pytest.param({}, marks=pytest.mark.slow), {"label_smoothing": 0.1, "z_loss": 1e-2}],
)
def test_parts_equal_the_whole(head, settings):
    terms, gradients, scores = outcome(*made(head, None, **settings))
    for chunks in (1, 4):
        terms_by_parts, by_parts, scores_by_parts = outcome(*made(head, chunks, **settings))
        for name, ratio in terms.items():
            assert_near(terms_by_parts[name].total, ratio.total, 1e-6)
            assert_near(terms_by_parts[name].weight, ratio.weight, 1e-6)
        assert gradients.keys() == by_parts.keys() and len(gradients) > 3
        for name, gradient in gradients.items():
            assert np.abs(gradient).max() > 0
            assert_near(by_parts[name], gradient, 1e-5)
        for found, expected in zip(scores_by_parts, scores, strict=True):
            assert_near(found, expected, 1e-5)


def test_an_engine_builds_and_trains_it():
    logs = []
    for chunks in (None, 4):
        keras.utils.set_random_seed(0)  # the same dropout
        objective, features = made("tied", chunks)
        optimizer = adamw(learning_rate=1e-3)
        engine = engines.get()(objective=objective, optimizer=optimizer, features=features)
        for _ in range(2):
            engine.step(features)
        logs.append(engine.logs())
    assert logs[0].keys() == logs[1].keys()
    for name in ("loss", "cross_entropy", "accuracy", "grad_norm"):
        assert logs[1][name] == pytest.approx(logs[0][name], rel=1e-5)


def test_no_more_logits_exist_than_a_part(monkeypatch):
    objective, features = made("tied", 4)
    seen = []
    project = cross_entropy.project

    def watched(inputs):
        seen.append(inputs.x.shape[0])
        return project(inputs)

    monkeypatch.setattr(cross_entropy, "project", watched)
    outcome(objective, features)
    assert set(seen) <= {8, 30 - 3 * 8} and seen


def test_logits_are_the_same_product_however_they_are_made():
    draw = np.random.default_rng(1)
    x, table = (draw.standard_normal(shape).astype("float32") for shape in ((3, 8), (5, 8)))
    assert_near(table_product(ops.convert_to_tensor(x), table), x @ table.T, 1e-6)
    assert_near(project_from_table(LogitsInput(x, ops.convert_to_tensor(table))), x @ table.T, 1e-6)
    assert_near(project(LogitsInput(x, ops.convert_to_tensor(table))), x @ table.T, 1e-6)
