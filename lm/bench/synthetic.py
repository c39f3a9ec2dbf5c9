"""Batches of full-length random tokens with all features that an objective reads."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lm.objectives.permutation import Permutation
from lm.types import Batch

_FIRST_ID = 3  # 0 to 2 are padding, end and unknown
_PREDICTED_SHARE = 6  # XLNet predicts a sixth of the tokens


def synthetic_batch(objective: Any, *, rows: int, inputs: int, targets: int) -> Batch:
    """Returns a batch with the features of an objective.

    Args:
        objective: its model has `vocabulary_size` and `sides`.
        rows: batch size B.
        inputs: encoder tokens per row.
        targets: decoder tokens per row.
    """
    batch = model_batch(objective.model, rows=rows, inputs=inputs, targets=targets)
    return FEATURES.get(type(objective), dict)(batch)


def model_batch(model: Any, *, rows: int, inputs: int, targets: int) -> Batch:
    """Returns a batch with the features of a model and a target at every position."""
    draw = np.random.default_rng(0)
    lengths = {"encoder": inputs, "decoder": targets}
    sides = {side: n for side, n in lengths.items() if side in model.sides}
    batch: Batch = {}
    for side, length in sides.items():
        ids = draw.integers(_FIRST_ID, model.vocabulary_size, (2, rows, length), "int32")
        batch[f"{side}_input_tokens"], batch[f"{side}_target_tokens"] = ids
        batch[f"{side}_loss_weights"] = np.ones((rows, length), "float32")
        batch[f"{side}_segment_ids"] = np.ones((rows, length), "int32")
        batch[f"{side}_positions"] = np.tile(np.arange(length, dtype="int32"), (rows, 1))
    if len(sides) > 1:  # in an encoder-decoder only the decoder has targets
        del batch["encoder_target_tokens"], batch["encoder_loss_weights"]
    return batch


def permuted(batch: Batch) -> Batch:
    """Returns the batch with only some tokens predicted, in a random order.

    >>> tokens = {"encoder_input_tokens": np.arange(12, dtype="int32")[None]}
    >>> found = permuted(tokens)
    >>> found["encoder_predicted_positions"].shape, np.unique(found["encoder_ranks"]).tolist()
    ((1, 2), [-1, 0, 1])
    """
    tokens = batch["encoder_input_tokens"]
    count = tokens.shape[1] // _PREDICTED_SHARE
    order = np.argsort(np.random.default_rng(1).random(tokens.shape), axis=1)[:, :count]  # [B, P]
    ranks = np.full_like(tokens, -1)
    np.put_along_axis(ranks, order, np.arange(count, dtype="int32"), axis=1)
    predicted = np.sort(order, axis=1).astype("int32")
    return {
        **batch,
        "encoder_ranks": ranks,
        "encoder_token_types": np.zeros_like(tokens),
        "encoder_predicted_positions": predicted,
        "encoder_target_tokens": np.take_along_axis(tokens, predicted, axis=1),
        "encoder_loss_weights": np.ones(predicted.shape, "float32"),
    }


# Objective -> its features, computed from those of its model.
FEATURES: dict[type, Callable[[Batch], Batch]] = {Permutation: permuted}
