"""The model families that the mesh is tested with: a line each."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lm.objectives.token_prediction import TokenPrediction
from tests.batches import batch, example
from tests.built import find
from tests.catalogue import MODELS, VOCABULARY_SIZE, part

ROWS, LENGTH = 16, 16


class Family(NamedTuple):
    """A model of the catalogue and the meshes, files of gin/mesh, that it shall run on."""

    name: str
    meshes: tuple[str, ...] = ("data", "data_model")


FAMILIES = [
    Family("gpt2"),
    Family("bert_masked"),
    Family("t5"),
    Family("t5_1_1"),
    Family("transformer"),
]


def objective(name: str) -> Callable[[], Any]:
    """Returns a factory of token prediction over a model of the catalogue, dropout on."""
    case = find(MODELS, name)

    def model(name: str) -> Any:
        del name
        return case.factory()

    return part(TokenPrediction, model=model)


@functools.cache
def features(name: str) -> dict[str, np.ndarray]:
    """Returns a packed, padded batch in which no two rows weigh the same."""
    model = find(MODELS, name).factory()
    rows = [
        [example(2 * i, 3, 2 + i // 3, VOCABULARY_SIZE), example(2 * i + 1, 4, 4, VOCABULARY_SIZE)]
        for i in range(ROWS)
    ]
    return batch(model, rows, LENGTH)
