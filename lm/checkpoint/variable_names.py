"""The names of variables in a checkpoint: their paths, weights without the objective's own name."""

from typing import Any

import keras

SEED = "seed_generator_state"


def weights(objective: keras.Model) -> dict[str, Any]:
    """Return name -> variable of an objective, without the random seeds.

    The name of the objective is removed, so that another objective over the same model can start
    from these weights: `decoder_only/embedding/...`, not `token_prediction/decoder_only/...`.
    """
    prefix = f"{objective.name}/"
    return {v.path.removeprefix(prefix): v for v in objective.variables if v.name != SEED}


def model_weights(model: keras.Model) -> dict[str, Any]:
    """Return the same for a model, built alone or inside an objective."""
    found = [v for v in model.variables if v.name != SEED]
    return {v.path[max(v.path.find(f"{model.name}/"), 0) :]: v for v in found}
