"""What an objective hands to the trainer: sums, never means of means."""

from typing import Any, NamedTuple


class Ratio(NamedTuple):
    """A mean kept as its two sums, so that microbatches, devices and batches add up exactly.

    Attributes:
        total: float32 scalar, Σ weight · value.
        weight: float32 scalar, Σ weight.
    """

    total: Any
    weight: Any
