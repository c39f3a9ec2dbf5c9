"""Which labels a model takes for which: counts, and precision, recall and F1 of each label."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np


class LabelScores(NamedTuple):
    """How well one label is found, 0 to 100.

    Attributes:
        label: its name.
        precision: share of its predictions that are right, 0 where there are none.
        recall: share of its examples that are found.
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
    """Counts targets and predictions; what is no label on either side is left out.

    Example:
        >>> confusion(["no", "yes"], [0, 0, 1, -1], [0, 1, 1, 1]).counts.tolist()
        [[1, 1], [0, 1]]
    """
    counts = np.zeros((len(names), len(names)), int)
    for target, guess in zip(targets, predictions, strict=True):
        if min(target, guess) >= 0:
            counts[target, guess] += 1
    return Confusion(tuple(names), counts)
