"""What search and the commands ask of a model."""

from typing import Any, Protocol

from lm.types import Features


class Model(Protocol):
    """`head(stack(E[tokens]))`, [B, T] → [B, T, V] or what else the head makes, on its `sides`.

    One with a decoder also has `start` and `step`, by which search generates.

    Attributes:
        sides: ("decoder",), ("encoder",) or ("encoder", "decoder"); each is an attribute too, a
            stack, of which a decoder's and an encoder's beside it have `max_sequence_length`.
        vocabulary_size: V.
    """

    sides: tuple[str, ...]
    vocabulary_size: int

    def __call__(self, features: Features) -> Any:
        """Returns what the head makes: logits [B, T, V], vectors [B, D], ..."""
