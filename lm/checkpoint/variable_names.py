"""Names of variables in a checkpoint: their paths, weights without the objective's name."""

from typing import Any

import keras

SEED = "seed_generator_state"


def weights(objective: keras.Model) -> dict[str, Any]:
    """Returns name -> variable of an objective, without random seeds.

    The objective's name is dropped, so that another objective can start from the same weights:
    `decoder_only/embedding/...`, not `token_prediction/decoder_only/...`.
    """
    prefix = f"{objective.name}/"
    return {v.path.removeprefix(prefix): v for v in objective.variables if v.name != SEED}


def model_weights(model: keras.Model) -> dict[str, Any]:
    """Returns the same for a model, built alone or inside an objective."""
    found = [v for v in model.variables if v.name != SEED]
    return {v.path[max(v.path.find(f"{model.name}/"), 0) :]: v for v in found}
