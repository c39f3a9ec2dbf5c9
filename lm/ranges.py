"""Types of numbers that lie in a range: gin refuses any other where it is bound."""

import math
from typing import Annotated, NamedTuple


class Range(NamedTuple):
    """What a number must be.

    Attributes:
        least: the lowest that is admitted.
        below: the lowest that no longer is.
    """

    least: float
    below: float = math.inf

    def __contains__(self, value: object) -> bool:
        return isinstance(value, (int, float)) and self.least <= value < self.below

    def __str__(self) -> str:
        if self.below < math.inf:
            return f"from {self.least} to below {self.below}"
        return f"from {self.least} on"


Size = Annotated[int, Range(1)]
Count = Annotated[int, Range(0)]
Seed = Annotated[int, Range(0, 2**32)]
Amount = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
