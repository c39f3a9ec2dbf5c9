"""Paragraph vectors equal float64 NumPy, gradients finite differences, a tree -log p."""

import functools

import numpy as np
import pytest

from lm.errors import UserError
from tests import paragraphs

KINDS = list(paragraphs.KINDS)


@functools.cache
def filled(kind):
    return paragraphs.filled(kind)


def tables(objective):
    layers = {"documents": objective.model.documents, "words": objective.model.words}
    layers["nodes"] = objective.nodes
    return {n: np.asarray(x.table.value, "float64") for n, x in layers.items() if x is not None}


def loss(kind, tables, batch):
    """Σ a w (log(1 + e^z) - y z), row by row."""
    total = 0.0
    for r, nodes in enumerate(batch["nodes"]):
        x, a = [], []
        if "documents" in tables:
            x, a = [tables["documents"][batch["documents"][r]]], [1.0]
        if "words" in tables:
            x += list(tables["words"][batch["context"][r]])
            a += list(batch["context_weights"][r])
        x, a = np.array(x), np.array(a, "float64")
        if kind == "dm_concat":
            x, a = x.reshape(1, -1), np.ones(1)
        elif kind in ("dm_mean", "cbow"):
            x, a = (a / max(a.sum(), 1))[None] @ x, np.ones(1)
        z = x @ tables["nodes"][nodes].T  # [P, M]
        each = np.logaddexp(0, z) - batch["labels"][r] * z
        total += np.sum(a[:, None] * batch["node_weights"][r] * each)
    return total


def keras_loss(objective, batch):
    total, weight = objective.terms(batch, objective(batch))["loss"]
    assert float(weight) == len(batch["nodes"])
    return float(total)


@pytest.mark.parametrize("coder", [paragraphs.SAMPLING, paragraphs.TREE], ids=["draws", "tree"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_the_equation(kind, coder):
    objective, batch = filled(kind), paragraphs.batch(kind, coder)
    assert keras_loss(objective, batch) == pytest.approx(
        loss(kind, tables(objective), batch), rel=1e-5
    )


def test_distributed_memory_without_context_is_a_bag_of_words():
    memory, bag = filled("dm_mean"), filled("dbow")
    batch = paragraphs.batch("dm_mean")
    batch["context_weights"] = np.zeros_like(batch["context_weights"])
    for layer, other in ((memory.model.documents, bag.model.documents), (memory.nodes, bag.nodes)):
        other.table.assign(layer.table)
    assert keras_loss(memory, batch) == pytest.approx(keras_loss(bag, batch), rel=1e-6)


def test_nodes_of_another_width_are_refused():
    made = paragraphs.objective("dm_concat")
    made.nodes.dim -= 1
    with pytest.raises(UserError, match=r"have width 20, nodes 19: set NODE_DIM = 20"):
        made(paragraphs.batch("dm_concat"))
