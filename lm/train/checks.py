"""What can be found wrong before the first step, each with the binding to change."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lm.errors import ConfigError, UserError
from lm.train.progress import tell

# A tokenizer may have fewer ids than the table has rows (T5 rounds 32,100 up to 32,128).
_WASTED = 2


def sizes(objective: Any, vocabulary_sizes: Mapping[str, int]) -> None:
    """Compare the tokenizers of the data with the embedding of the model.

    Args:
        objective: made, not necessarily built.
        vocabulary_sizes: where it is used -> number of ids of a tokenizer.

    Raises:
        ConfigError: a tokenizer has ids that the embedding has no row for.
    """
    rows = rows_of_table(objective)
    if rows is None or not vocabulary_sizes:
        return
    place, ids = max(vocabulary_sizes.items(), key=lambda item: item[1])
    if ids > rows:
        raise ConfigError(
            f"the tokenizer of {place} has {ids} ids, the model's embedding {rows} rows: set "
            f"VOCABULARY_SIZE = {ids}, or VOCABULARY to the tokenizer that the model is meant for"
        )
    if rows > _WASTED * ids:
        tell(
            f"the tokenizer of {place} has {ids} ids, VOCABULARY_SIZE = {rows}: most rows of the "
            "embedding are never used"
        )


def first_batch(objective: Any, batch: Mapping[str, np.ndarray]) -> None:
    """Look at the batch that the first step of this process will see.

    Raises:
        UserError: it holds ids outside the vocabulary, or nothing to learn from.
    """
    rows = rows_of_table(objective)
    for name, ids in batch.items():
        low, high = (int(ids.min()), int(ids.max())) if name.endswith("_tokens") else (0, 0)
        if low < 0 or (rows is not None and high >= rows):
            bad = low if low < 0 else high
            raise UserError(
                f"the first batch has id {bad} in {name}, the model's embedding rows 0 to "
                f"{'?' if rows is None else rows - 1}: set VOCABULARY_SIZE or mend the task's ids"
            )
    weights = [array for name, array in batch.items() if name.endswith("_loss_weights")]
    if weights and not any(array.any() for array in weights):
        raise UserError(
            "the first batch has nothing to learn from, all its loss weights are 0: look at the "
            "task with `lm show`, and at TASK_FEATURE_LENGTHS"
        )


def rows_of_table(objective: Any) -> int | None:
    """Return the rows of a model's largest embedding of tokens, None if it has none."""
    found = [getattr(layer, "vocabulary_size", None) for layer in objective._flatten_layers()]
    return max((rows for rows in found if isinstance(rows, int)), default=None)
