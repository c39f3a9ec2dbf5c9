"""Tiny paragraph vectors of every kind: an objective, and how documents become its rows."""

import functools
from typing import Any, NamedTuple

import keras
import numpy as np

from lm.abstract import give_values, on_shapes
from lm.data.paragraphs import draws, nodes, row_streams
from lm.data.paragraphs.documents import Documents
from lm.data.paragraphs.word_windows import WordWindows
from lm.models import paragraph_vector as models
from lm.nn.sparse_table import SparseTable
from lm.objectives.node_prediction import NodePrediction

DOCUMENTS, SIZE, WIDTH = 6, 12, 4
SAMPLING = functools.partial(nodes.negative_sampling, negatives=3)
TREE = nodes.hierarchical_softmax


def table(feature, rows, dim=WIDTH):
    return functools.partial(SparseTable, feature=feature, num_rows=rows, dim=dim)


D, W = table("documents", DOCUMENTS), table("context", SIZE)
MEMORY = functools.partial(models.DistributedMemory, words=W)
AROUND = {"before": 2, "after": 2}


class Kind(NamedTuple):
    """A model, its windows, and the width of its nodes."""

    model: Any
    windows: dict[str, Any]
    width: int = WIDTH


KINDS = {
    "dbow": Kind(functools.partial(models.BagOfWords, documents=D), {}),
    "dbow_words": Kind(functools.partial(models.BagOfWords, documents=D, words=W), AROUND),
    "skip_gram": Kind(functools.partial(models.BagOfWords, words=W), AROUND),
    "dm_mean": Kind(functools.partial(MEMORY, documents=D), AROUND),
    "dm_concat": Kind(
        functools.partial(MEMORY, documents=D, combine=models.concatenate),
        {**AROUND, "least": 2},
        5 * WIDTH,
    ),
    "cbow": Kind(MEMORY, AROUND),
}


def named(factory):
    """Gives a partial the name that `make` reads."""
    return functools.wraps(factory.func)(factory) if hasattr(factory, "func") else factory


def objective(kind: str) -> Any:
    """Returns an objective whose variables have no values yet."""
    found = KINDS[kind]
    return NodePrediction(model=named(found.model), nodes=table("nodes", SIZE, found.width))


def filled(kind: str) -> Any:
    """Returns an objective with random tables."""
    made, rows = objective(kind), batch(kind)
    with on_shapes("test"):
        made({name: keras.KerasTensor(x.shape, x.dtype.name) for name, x in rows.items()})
    give_values(made.variables)
    rng = np.random.default_rng(5)
    for variable in made.variables:
        variable.assign(rng.normal(0, 0.5, variable.shape).astype("float32"))
    return made


@functools.cache
def corpus() -> Documents:
    """Returns documents of 0 to 20 words, one of them empty."""
    rng = np.random.default_rng(1)
    sizes = [20, 7, 0, 12, 1, 15]
    tokens = (3 + rng.integers(0, SIZE - 3, sum(sizes)) % rng.integers(2, 9, sum(sizes))).astype(
        "int32"
    )
    return Documents(tokens, np.cumsum([0, *sizes]), SIZE)


def settings(kind: str, coder: Any = SAMPLING, **more: Any) -> draws.Settings:
    """Returns how the corpus becomes rows."""
    windows = WordWindows(nodes=coder, **{**KINDS[kind].windows, **more})
    return windows.settings(corpus().counts())


def batch(kind: str, coder: Any = SAMPLING, count: int = 8) -> dict[str, np.ndarray]:
    """Returns the first rows of the corpus."""
    return next(batches(kind, coder, count))


def batches(kind: str, coder: Any = SAMPLING, count: int = 1, **more: Any) -> Any:
    """Yields rows without end."""
    rows = row_streams.RowStreams(corpus(), settings(kind, coder, **more), count=1, seed=3)
    while True:
        yield row_streams.batch_of(rows.take(count))
