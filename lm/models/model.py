"""What search and the verbs ask of a model."""

from collections.abc import Mapping
from typing import Any, Protocol


class Model(Protocol):
    """`head(stack(E[tokens]))`, [B, T] → [B, T, V] or what else the head makes, on its `sides`.

    One with a decoder also has `start` and `step`, by which search writes text.

    Attributes:
        sides: ("decoder",), ("encoder",) or ("encoder", "decoder"); each is an attribute too, a
            stack, of which a decoder's and an encoder's beside it have `max_sequence_length`.
        vocabulary_size: V.
    """

    sides: tuple[str, ...]
    vocabulary_size: int

    def __call__(self, features: Mapping[str, Any]) -> Any:
        """Returns what the head makes: logits [B, T, V], vectors [B, D], ..."""
