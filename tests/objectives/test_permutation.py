"""The permutation objective: the published masks, and its sums."""

import numpy as np
import pytest

from lm.objectives.permutation import attention_masks
from tests.batches import batch
from tests.built import ROWS, objective
from tests.engine import assert_near, numpy

# Factorisation order, predicted, special; blocked pairs (1) as the release draws them.
FOUR = ([2, 0, 3, 1], [1, 3], []), [[0, 1, 0, 1]] * 3 + [[0, 0, 0, 1]]
SIX = (
    ([2, 0, 3, 1, 5, 4], [1, 3], [4, 5]),
    [*[[0, 1, 0, 1, 1, 1]] * 3, [0, 0, 0, 1, 1, 1], [0] * 6, [0, 0, 0, 0, 1, 0]],
)


@pytest.mark.parametrize(("given", "blocked"), [FOUR, SIX], ids=["text", "special"])
def test_published_masks(given, blocked):
    order, predicted, special = given
    ranks = np.where(np.isin(range(len(order)), predicted + special), order, -1)
    masks = attention_masks(
        {
            "encoder_ranks": ranks[None].astype("int32"),
            "encoder_predicted_positions": np.array([predicted], "int32"),
        }
    )
    content, query = (1 - numpy(mask)[0].astype(int) for mask in masks.values())
    np.testing.assert_array_equal(query, np.array(blocked)[predicted])
    # A token of the content stream sees itself.
    np.testing.assert_array_equal(content, np.array(blocked) * (1 - np.eye(len(order))))


def test_sums_and_scores():
    made = objective("permutation")
    features = batch(made.model, ROWS, 15)
    noise = np.random.default_rng(0).uniform(size=features["encoder_loss_weights"].shape)
    features["encoder_loss_weights"] *= np.where(noise > 0.5, noise, 0).astype("float32")
    outputs = made(features)
    logits, weights = numpy(outputs).astype("float64"), features["encoder_loss_weights"]
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    targets = features["encoder_target_tokens"]
    expected = np.take_along_axis(log_p, targets[..., None], -1)[..., 0] * weights
    terms = numpy(made.terms(features, outputs))
    assert_near(terms["loss"].total, -expected.sum(), 1e-6)
    assert_near(terms["loss"].weight, weights.sum(), 1e-6)
    assert_near(terms["accuracy"].total, ((logits.argmax(-1) == targets) * weights).sum(), 1e-6)
    share = terms["predicted_share"]
    assert share == ((weights > 0).sum(), (features["encoder_segment_ids"] > 0).sum())
    assert_near(made.scores(features, outputs).log_likelihood, expected.sum(-1), 1e-6)


def test_a_row_without_ranks_is_an_encoders():
    made = objective("permutation")
    features = batch(made.model, ROWS, 15)
    plain = {k: x for k, x in features.items() if "predicted" not in k and "ranks" not in k}
    np.testing.assert_array_equal(numpy(made(plain)), numpy(made.model(plain)))
