"""What a step tells about itself without anybody waiting for it."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """Small arrays on the device; reading one waits for its step.

    Attributes:
        accepted: scalar bool, whether the update was made.
        terms: name -> float32 [2], the total and the weight of every term.
        finite: bool, one per weight: whether its gradient is finite, and its square too.
    """

    accepted: Any
    terms: Mapping[str, Any]
    finite: Any
