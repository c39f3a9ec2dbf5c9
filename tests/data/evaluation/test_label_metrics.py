"""Metrics of labels and scores, against their definitions."""

import numpy as np
import pytest

from lm.data.evaluation.label_metrics import f1, macro_f1, matthews, pearson, spearman
from lm.data.evaluation.rank_classification import rank_accuracy


def test_matthews_of_two_labels_is_the_formula_of_counts():
    rng = np.random.default_rng(0)
    target, guess = rng.integers(0, 2, (2, 50))
    counts = [np.sum((target == t) & (guess == g)) for t, g in ((1, 1), (0, 1), (1, 0), (0, 0))]
    tp, fp, fn, tn = map(float, counts)
    formula = (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert matthews(target, guess)["matthews"] == pytest.approx(100 * formula)


def test_constant_predictions_are_no_correlation():
    assert matthews([0, 1, 1], [1, 1, 1]) == {"matthews": 0.0}
    assert pearson([1.0, 2.0], [3.0, 3.0]) == {"pearson": 0.0}
    assert spearman([1.0, 1.0], [3.0, 4.0]) == {"spearman": 0.0}


def test_invalid_predictions_are_wrong():
    assert f1([0, 1, 1], [0, -1, 1])["f1"] == pytest.approx(100 * 2 / 3)
    assert f1([0, 0], [-1, 0])["f1"] == 0.0
    assert macro_f1([0, 1], [-1, 1])["macro_f1"] == 50.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("metric", [f1, macro_f1, matthews, pearson, spearman, rank_accuracy])
def test_metrics_of_no_examples_are_0(metric):
    """As BLEU and accuracy are; neither NaN nor an error, and no warning."""
    assert list(metric([], []).values()) == [0.0]


def test_equal_values_share_their_rank():
    assert spearman([1, 2, 2, 4], [10, 20, 20, 30])["spearman"] == pytest.approx(100)
    x, y = [1.0, 2.0, 2.0, 4.0], [3.0, 1.0, 2.0, 4.0]
    ranks = np.corrcoef([1, 2.5, 2.5, 4], [3, 1, 2, 4])[0, 1]
    assert spearman(x, y)["spearman"] == pytest.approx(100 * ranks)
    assert pearson(x, y)["pearson"] == pytest.approx(100 * np.corrcoef(x, y)[0, 1])
