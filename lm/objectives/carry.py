"""How a carry is handed through an objective: what training, evaluation and scoring share."""

from typing import Any

from lm.nn.branch import State
from lm.types import Features

CONTINUES = "_continues"


def count_continuing_rows(features: Features) -> int:
    """Returns how many rows may continue those of the last batch, 0 where all stand alone.

    Args:
        features: a batch, or for each feature anything with its shape; one whose name ends in
            `_continues` marks the rows that do.
    """
    return next((x.shape[0] for name, x in features.items() if name.endswith(CONTINUES)), 0)


def initial_carry(objective: Any, features: Features) -> State:
    """Returns the carry before the first batch, all zeros; `()` where no row continues another.

    Args:
        objective: built.
        features: as of `count_continuing_rows`.
    """
    rows = count_continuing_rows(features)
    return objective.initial_carry(rows) if rows else ()


def outputs_and_carry(
    objective: Any, features: Features, carry: State, *, training: bool
) -> tuple[Any, State]:
    """Returns the outputs of an objective and the carry after them."""
    if not carry:
        return objective(features, training=training), ()
    outputs, after = objective(features, carry=carry, training=training)
    return outputs, after
