"""The nodes of words: a tree is a distribution near the entropy, draws follow the counts."""

import numpy as np
import pytest

from lm.data.paragraphs import nodes
from lm.errors import UserError

COUNTS = np.array([0, 0, 0, 50, 21, 13, 8, 5, 3, 2, 1, 1])


def probabilities(found, z):
    """Returns p(word) = Π σ(±z) over its path, float64 [V]."""
    sign = 2 * found.labels - 1
    steps = np.log1p(np.exp(-sign * z[found.paths]))
    inside = np.arange(found.paths.shape[1]) < found.sizes[:, None]
    return np.where(found.sizes > 0, np.exp(-np.sum(steps * inside, axis=1)), 0)


def test_the_words_of_a_tree_have_probability_1_together():
    found = nodes.hierarchical_softmax(COUNTS)
    z = np.random.default_rng(0).normal(0, 3, len(COUNTS))
    assert probabilities(found, z).sum() == pytest.approx(1, abs=1e-6)


def test_the_expected_length_of_a_path_is_at_most_entropy_plus_1():
    p = COUNTS[COUNTS > 0] / COUNTS.sum()
    sizes = nodes.hierarchical_softmax(COUNTS).sizes[COUNTS > 0]
    entropy = -np.sum(p * np.log2(p))
    assert entropy <= np.sum(p * sizes) <= entropy + 1


def test_two_words_are_one_logistic_regression():
    found = nodes.hierarchical_softmax(np.array([0, 4, 6]))
    assert found.sizes.tolist() == [0, 1, 1]
    assert found.labels[:, 0].tolist() == [0, 1, 0]


def test_an_alias_table_has_the_probabilities_it_was_made_of():
    weights = np.random.default_rng(1).uniform(0, 1, 50) * np.arange(50)
    accept, alias = nodes.alias_table(weights)
    drawn = accept + np.bincount(alias, weights=1 - accept, minlength=50)
    np.testing.assert_allclose(drawn / 50, weights / weights.sum(), atol=1e-6)


@pytest.mark.parametrize("coder", [nodes.negative_sampling, nodes.hierarchical_softmax])
def test_one_word_is_refused(coder):
    with pytest.raises(UserError, match="1 words are no vocabulary"):
        coder(np.array([0, 0, 0, 7]))
