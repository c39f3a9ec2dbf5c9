"""How a carry is handed through an objective: what training, evaluation and scoring share."""

from collections.abc import Mapping
from typing import Any

from lm.nn.branch import State

CONTINUES = "_continues"


def rows_that_go_on(features: Mapping[str, Any]) -> int:
    """Returns how many rows may go on with those of the last batch, 0 where all stand alone.

    Args:
        features: a batch, or for each feature anything with its shape; one whose name ends in
            `_continues` says which rows go on.
    """
    return next((x.shape[0] for name, x in features.items() if name.endswith(CONTINUES)), 0)


def initial_carry(objective: Any, features: Mapping[str, Any]) -> State:
    """Returns the carry before the first batch, all zeros; `()` where no row goes on.

    Args:
        objective: built.
        features: as of `rows_that_go_on`.
    """
    rows = rows_that_go_on(features)
    return objective.initial_carry(rows) if rows else ()


def outputs_and_carry(
    objective: Any, features: Mapping[str, Any], carry: State, *, training: bool
) -> tuple[Any, State]:
    """Returns the outputs of an objective and the carry after them."""
    if not carry:
        return objective(features, training=training), ()
    outputs, after = objective(features, carry=carry, training=training)
    return outputs, after
