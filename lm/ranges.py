"""Annotations for numbers in a range; gin bindings are checked against them."""

import math
from typing import Annotated, NamedTuple


class Range(NamedTuple):
    """A half-open range, least <= x < below."""

    least: float
    below: float = math.inf

    def __contains__(self, value: object) -> bool:
        return isinstance(value, (int, float)) and self.least <= value < self.below

    def __str__(self) -> str:
        if self.below < math.inf:
            return f"from {self.least} to below {self.below}"
        return f"from {self.least} on"


PositiveInt = Annotated[int, Range(1)]
NonNegativeInt = Annotated[int, Range(0)]
Seed = Annotated[int, Range(0, 2**32)]
NonNegativeFloat = Annotated[float, Range(0)]
UnitFloat = Annotated[float, Range(0, 1)]
