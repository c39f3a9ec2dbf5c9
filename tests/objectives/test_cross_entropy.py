"""Logits in parts: sums, scores and gradients as of logits made whole; never more than a part."""

import numpy as np
import pytest
from keras import ops

from lm.nn.heads import Logits, MaskedLanguageHead, TiedLogits
from lm.objectives import cross_entropy
from lm.objectives.token_prediction import TokenPrediction
from tests.batches import batch
from tests.built import ROWS
from tests.catalogue import MODELS, part
from tests.engine import assert_near, differentiate, fill, numpy

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
    objective(features)
    fill(objective)
    draw = np.random.default_rng(0)
    weights = draw.uniform(0, 1, features["decoder_loss_weights"].shape).astype("float32")
    return objective, features | {
        "decoder_loss_weights": weights * features["decoder_loss_weights"]
    }


def outcome(objective, features):
    """Returns the terms, the gradients of the loss, and the scores."""

    def loss():
        terms = objective.terms(features, objective(features))
        return terms["loss"].total * 3.0, terms

    terms, gradients = differentiate(loss, objective.trainable_variables)()
    return numpy(terms), gradients, numpy(objective.scores(features, objective(features)))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.1, "z_loss": 1e-2}])
@pytest.mark.parametrize("chunks", [1, 4])
def test_parts_equal_the_whole(head, settings, chunks):
    terms, gradients, scores = outcome(*made(head, None, **settings))
    terms_by_parts, by_parts, scores_by_parts = outcome(*made(head, chunks, **settings))
    for name, ratio in terms.items():
        assert_near(terms_by_parts[name].total, ratio.total, 1e-6)
        assert_near(terms_by_parts[name].weight, ratio.weight, 1e-6)
    assert gradients.keys() == by_parts.keys() and len(gradients) > 3
    for name, gradient in gradients.items():
        assert np.abs(gradient).max() > 0
        assert_near(by_parts[name], gradient, 1e-5)
    assert_near(scores_by_parts, scores, 1e-5)


def test_no_more_logits_exist_than_a_part(monkeypatch):
    objective, features = made("tied", 4)
    seen = []
    whole = cross_entropy.whole

    def watched(factors):
        seen.append(factors.x.shape[0])
        return whole(factors)

    monkeypatch.setattr(cross_entropy, "whole", watched)
    outcome(objective, features)
    assert set(seen) <= {8, 30 - 3 * 8} and seen
