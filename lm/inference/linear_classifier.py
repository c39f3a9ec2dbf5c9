"""Evaluates vectors by logistic regression, and checks the order of their labels."""

import logging
from typing import Any

import numpy as np

from lm.errors import UserError

_LOG = logging.getLogger(__name__)
MOST_RUNS = 0.2  # as a share of the runs in a shuffled order


def linear_error(
    vectors: np.ndarray, labels: np.ndarray, is_train: np.ndarray, *, seed: int = 0
) -> float:
    """Returns the test error of logistic regression in percent.

    Vectors are scaled to length 1. Warns if equal labels are adjacent: vectors trained in that
    order leak the label (Mesnil et al. 2015). `WindowBatches` shuffles.

    Args:
        vectors: float32 [N, D], in the order in which they were trained.
        labels: [N].
        is_train: bool [N], which vectors to train on; the others are for testing.
        seed: of the order of training.

    Raises:
        UserError: a part has no vectors, or only one label.

    Source: Mesnil et al. 2015 (https://arxiv.org/abs/1412.5335), section 3.
    """
    from sklearn.linear_model import LogisticRegression

    for part, name in ((is_train, "train"), (~is_train, "test")):
        if len(np.unique(labels[part])) < 2:  # noqa: PLR2004 - labels to tell apart
            raise UserError(f"the {name} vectors need at least two labels to be classified")
    if in_blocks(labels):
        _LOG.warning(
            "equal labels are adjacent; vectors trained in this order leak them: shuffle the texts"
        )
    x = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(is_train))
    found: Any = LogisticRegression(max_iter=1000).fit(x[order], labels[order])
    return 100 * (1 - float(found.score(x[~is_train], labels[~is_train])))


def in_blocks(labels: np.ndarray) -> bool:
    """Returns whether equal labels are adjacent much more often than in a shuffled order.

    >>> in_blocks(np.repeat([0, 1], 50)), in_blocks(np.tile([0, 1, 1, 0], 25))
    (True, False)
    """
    _, counts = np.unique(labels, return_counts=True)
    expected = len(labels) - np.sum(counts**2) / len(labels)
    return bool(np.sum(labels[1:] != labels[:-1]) < MOST_RUNS * expected)
