"""The protocol of objectives: sums for training and scoring, and the carry."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from lm.models.model import Model
from lm.nn.branch import State
from lm.types import Features, Shape, Tensor


class Ratio(NamedTuple):
    """A mean stored as two sums, which add up exactly over microbatches, devices and batches.

    Attributes:
        total: float32 scalar, Σ weight · value.
        weight: float32 scalar, Σ weight.
    """

    total: Tensor
    weight: Tensor


class RowScores(NamedTuple):
    """How probable the targets of each row are, float32 [B] each.

    Attributes:
        log_likelihood: Σ w · log p(target), in nats.
        correct: Σ w · [no token is more probable than the target].
        weight: Σ w.
    """

    log_likelihood: Tensor
    correct: Tensor
    weight: Tensor


class Objective(Protocol):
    """`Σ w · loss / Σ w` over a model; `outputs` is the result of a call on `features`.

    Attributes:
        model: the model that is trained and saved, see `lm.models.model`.
    """

    model: Model

    def __call__(self, features: Features, *, training: bool = False) -> Any:
        """Returns outputs for the other methods."""

    def initial_carry(self, batch: int) -> State:
        """Returns the carry before the first batch; `()` if there is none."""

    def terms(self, features: Features, outputs: Any) -> Mapping[str, Ratio]:
        """Returns the sums to minimise ("loss") and to report."""

    def scores(self, features: Features, outputs: Any) -> RowScores:
        """Returns how probable the targets of each row are; optional."""


def built_by_call(self: Any, features_shape: Shape) -> None:
    """The `build` of an objective whose model creates its variables at its first call."""
    del self, features_shape


def no_carry(self: Any, batch: int) -> State:
    """The `initial_carry` of an objective with independent rows: `()`."""
    del self, batch
    return ()


def predicts_every_token(objective: Any) -> bool:
    """Whether its cross entropy covers whole texts, so that bits per byte are defined.

    A decoder predicts every token of a text; an encoder predicts some and sees the others.
    """
    return "decoder" in objective.model.sides


CONTINUES = "_continues"


def count_continuing_rows(features: Features) -> int:
    """Returns how many rows may continue those of the last batch; 0 if all are independent.

    Args:
        features: a batch, or for each feature anything with its shape; one whose name ends in
            `_continues` marks the rows that do.
    """
    return next((x.shape[0] for name, x in features.items() if name.endswith(CONTINUES)), 0)


def initial_carry(objective: Any, features: Features) -> State:
    """Returns the zero carry before the first batch; `()` if rows are independent.

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
