"""Metrics of labels and scores: `(targets, predictions)` → {name: value in percent}.

Labels are ids from 0 on; a prediction of -1 is not a label and never right. `confusion` computes
the confusion matrix.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lm.data.evaluation.metrics import Scores
from lm.parts import part

Labels = Sequence[int]


@part
def token_accuracy(targets: Sequence[Labels], predictions: Sequence[Labels]) -> Scores:
    """Fraction of the tokens whose label is right, over all rows, 0 to 100.

    Example:
        >>> token_accuracy([[0, 1], [2, 2]], [[0, 1], [2, -1]])
        {'token_accuracy': 75.0}
    """
    hits = [
        label == guess
        for labels, guesses in zip(targets, predictions, strict=True)
        for label, guess in zip(labels, guesses, strict=True)
    ]
    return {"token_accuracy": 100 * float(np.mean(hits or [False]))}


@part
def f1(targets: Labels, predictions: Labels) -> Scores:
    """F1 of the label 1, 0 to 100: 2 TP / (2 TP + FP + FN), 0 if there is none.

    An invalid prediction counts as the wrong label.

    Example:
        >>> round(f1([0, 1, 1], [0, -1, 1])["f1"], 4)
        66.6667
    """
    target, guess = np.asarray(targets), np.asarray(predictions)
    guess = np.where(guess < 0, 1 - target, guess)
    return {"f1": 100 * _f1(target, guess, 1)}


@part
def macro_f1(targets: Labels, predictions: Labels) -> Scores:
    """Mean of F1 over the labels of the targets and predictions, 0 to 100; 0 if there are none.

    Example:
        >>> round(macro_f1([0, 1, 2], [0, 1, 1])["macro_f1"], 4)
        55.5556
    """
    target, guess = np.asarray(targets), np.asarray(predictions)
    labels = [label for label in np.union1d(target, guess) if label >= 0]
    of_labels = [_f1(target, guess, label) for label in labels]
    return {"macro_f1": 100 * float(np.mean(of_labels or [0.0]))}


@part
def label_sets_f1(targets: Sequence[Labels], predictions: Sequence[Labels]) -> Scores:
    """F1 of sets of labels, 0 to 100: of all labels counted together, and the mean over labels.

    The mean is over the labels of the targets and predictions.

    Example:
        >>> found = label_sets_f1([[0, 1], [1]], [[0], [1, 2]])
        >>> {name: round(value, 2) for name, value in found.items()}
        {'micro_f1': 66.67, 'macro_f1': 55.56}
    """
    labels = sorted({label for row in (*targets, *predictions) for label in row})
    is_there = [
        np.array([[label in row for label in labels] for row in rows], int).reshape(-1, len(labels))
        for rows in (targets, predictions)
    ]
    target, guess = is_there
    of_labels = [_f1(target[:, i], guess[:, i], 1) for i in range(len(labels))]
    return {
        "micro_f1": 100 * _f1(target, guess, 1),
        "macro_f1": 100 * float(np.mean(of_labels or [0.0])),
    }


@part
def matthews(targets: Labels, predictions: Labels) -> Scores:
    """Matthews' correlation of two labels or more, -100 to 100; 0 if a side is constant or empty.

    With the indicators Y and P [N, K] of targets and predictions: cov(Y, P) over the root of
    cov(Y, Y) · cov(P, P), each the sum over the labels of the covariances of their columns.

    Example:
        >>> matthews([0, 1, 1, 0], [0, 1, 0, 0])["matthews"].__round__(2)
        57.74

    Source: Gorodkin 2004, Comparing two K-category assignments by a K-category correlation
    coefficient, equation 8.
    """
    if not len(targets):
        return {"matthews": 0.0}
    labels = np.union1d(targets, predictions)
    y, p = (np.equal.outer(np.asarray(ids), labels) * 1.0 for ids in (targets, predictions))
    y, p = y - y.mean(0), p - p.mean(0)
    return {"matthews": 100 * _ratio((y * p).sum(), np.sqrt((y * y).sum() * (p * p).sum()))}


@part
def pearson(targets: Sequence[float], predictions: Sequence[float]) -> Scores:
    """Pearson's correlation, -100 to 100; 0 if one side is constant.

    Example:
        >>> round(pearson([1, 2, 3], [1, 2, 4])["pearson"], 2)
        98.2
    """
    return {"pearson": 100 * _correlation(np.asarray(targets), np.asarray(predictions))}


@part
def spearman(targets: Sequence[float], predictions: Sequence[float]) -> Scores:
    """Spearman's correlation: Pearson's of the ranks, equal values sharing their mean rank.

    Example:
        >>> spearman([1, 2, 3, 4], [1, 10, 100, 1000])["spearman"]
        100.0
    """
    return {"spearman": 100 * _correlation(_ranks(targets), _ranks(predictions))}


def _f1(target: np.ndarray, guess: np.ndarray, label: int) -> float:
    hits = np.sum((target == label) & (guess == label))
    return _ratio(2.0 * hits, np.sum(target == label) + np.sum(guess == label))


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    if not x.size:
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    return _ratio(np.sum(x * y), np.sqrt(np.sum(x * x) * np.sum(y * y)))


def _ranks(values: Sequence[float]) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]


def _ratio(value: float, by: float) -> float:
    return float(value / by) if by else 0.0


class LabelScores(NamedTuple):
    """Precision, recall and F1 of one label, 0 to 100.

    Attributes:
        label: its name.
        precision: fraction of its predictions that are right, 0 where there are none.
        recall: fraction of its examples that are found.
        f1: harmonic mean of both.
        examples: number of its examples.
    """

    label: str
    precision: float
    recall: float
    f1: float
    examples: int


class Confusion(NamedTuple):
    """Counts of pairs of labels.

    Attributes:
        names: of the labels.
        counts: int [L, L]; row: the right label, column: the predicted one.
    """

    names: tuple[str, ...]
    counts: np.ndarray

    def scores(self) -> list[LabelScores]:
        """Returns precision, recall and F1 of each label.

        Example:
            >>> confusion(["no", "yes"], [0, 0, 0, 1], [0, 0, 1, 1]).scores()[1]
            LabelScores(label='yes', precision=50.0, recall=100.0, f1=66.66666666666667, examples=1)
        """
        hits = np.diag(self.counts)
        predicted, there = self.counts.sum(0), self.counts.sum(1)
        columns = (
            100 * hits / np.maximum(predicted, 1),
            100 * hits / np.maximum(there, 1),
            200 * hits / np.maximum(predicted + there, 1),
            there,
        )
        rows = zip(self.names, *(column.tolist() for column in columns), strict=True)
        return [LabelScores(*row) for row in rows]

    def record(self) -> dict[str, Any]:
        """Returns all of it as plain JSON values."""
        by_label = {found.label: found._asdict() for found in self.scores()}
        return {"labels": by_label, "confusion": self.counts.tolist()}


def confusion(
    names: Sequence[str], targets: Iterable[int], predictions: Iterable[int]
) -> Confusion:
    """Returns the confusion matrix; ignores pairs in which either is not a label.

    Example:
        >>> confusion(["no", "yes"], [0, 0, 1, -1], [0, 1, 1, 1]).counts.tolist()
        [[1, 1], [0, 1]]
    """
    counts = np.zeros((len(names), len(names)), int)
    for target, guess in zip(targets, predictions, strict=True):
        if min(target, guess) >= 0:
            counts[target, guess] += 1
    return Confusion(tuple(names), counts)
