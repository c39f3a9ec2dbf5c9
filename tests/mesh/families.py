"""The model families that the mesh is tested with: a line each."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lm.objectives.token_prediction import TokenPrediction
from tests.batches import batch, example
from tests.built import find
from tests.catalogue import MODELS as CATALOGUE
from tests.catalogue import VOCABULARY_SIZE, Case, family, part

ROWS, LENGTH = 16, 16


class Family(NamedTuple):
    """A model of the catalogue and the meshes, files of gin/mesh, that it shall run on."""

    name: str
    meshes: tuple[str, ...] = ("data_model",)


FAMILIES = [
    Family("gpt2_short", ("data", "data_model", "data_sharded")),
    Family("bert_short"),
    Family("t5_short"),
    Family("evolved_transformer"),
    Family("primer"),
    Family("flash"),
    Family("funnel"),
    Family("transformer_xl"),
    Family("switch", ("data_expert", "data_expert_model")),
]
ONE = {"NUM_LAYERS": 1}
SHORT = {**ONE, "MAX_SEQUENCE_LENGTH": LENGTH}
MODELS = [
    *CATALOGUE,
    Case("gpt2_short", family("gpt2/architecture.gin", **SHORT)),
    Case("bert_short", family("bert/architecture.gin", "bert/masked.gin", **SHORT)),
    Case("t5_short", family("t5_1_1/architecture.gin", HEAD_DIM=6, **ONE)),
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
