"""What the mesh is tested with: every model of the catalogue, on one mesh unless it says more."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from lm.objectives.labels import Labels, classes
from lm.objectives.token_prediction import TokenPrediction
from tests.batches import batch, example
from tests.built import find
from tests.catalogue import MODELS as CATALOGUE
from tests.catalogue import REPLACED_TOKEN, VOCABULARY_SIZE, Case, family, part

ROWS, LENGTH = 16, 16
SHORTEST = "gpt2_short"
SHORT = Case(SHORTEST, family("gpt2/architecture.gin", NUM_LAYERS=1, MAX_SEQUENCE_LENGTH=LENGTH))
MODELS = [SHORT, *CATALOGUE, *REPLACED_TOKEN]
# Files of gin/mesh, where they are not this one.
MESH = "data_model"
MESHES = {
    SHORTEST: ("data", "data_model", "data_sharded"),
    "switch": ("data_expert", "data_expert_model"),
    "moe": ("data_expert_model",),
    "bert": (),  # makes no logits
    "electra": (),  # makes no logits of tokens; `replaced_token` trains it
    "all_tokens_mlm": (),  # the same layers
    "st_moe": (),  # its gradients differ by 2.7e-5 on any mesh, more than the bound of all others
}
# What predicts no tokens.
OBJECTIVES = {"bert_classifier": part(Labels, candidates=classes)}
PAIRS = [(case.name, mesh) for case in MODELS for mesh in MESHES.get(case.name, (MESH,))]


def objective(name: str) -> Callable[[], Any]:
    """Returns a factory of an objective over a model of the catalogue, dropout on."""
    case = find(MODELS, name)
    if case in REPLACED_TOKEN:
        return case.factory

    def model(name: str) -> Any:
        del name
        return case.factory()

    return part(OBJECTIVES.get(name, TokenPrediction), model=model)


@functools.cache
def features(name: str) -> dict[str, np.ndarray]:
    """Returns a packed, padded batch in which no two rows weigh the same."""
    case = find(MODELS, name)
    made, most = case.factory(), 1 if "packed" in case.lacks else 2
    rows = [
        [example(2 * i, 3, 2 + i // 3, VOCABULARY_SIZE), example(2 * i + 1, 4, 4, VOCABULARY_SIZE)]
        for i in range(ROWS)
    ]
    rows = [row[:most] for row in rows]
    found = batch(getattr(made, "model", made), rows, LENGTH)
    if name in OBJECTIVES:
        found["labels"] = found["encoder_input_tokens"][:, :1] % 2
        found["label_weights"] = np.linspace(0, 1, ROWS, dtype="float32")[:, None]
    return found
