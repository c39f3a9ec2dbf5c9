"""When a run ends before its last step: after some evaluations without a new best one."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass
class Patience:
    """Counts evaluations since the best one.

    Attributes:
        limit: evaluations without a new best that end the run; None never ends it.
        best: the lowest metric so far.
        waited: evaluations since then.

    Example:
        >>> patience = Patience(limit=2)
        >>> for metric in (3.0, 2.0, 2.5, 2.0):
        ...     patience.add(metric)
        >>> patience.is_over, str(patience)
        (True, 'no better evaluation in the last 2')
    """

    limit: int | None
    best: float | None = None
    waited: int = 0

    @classmethod
    def resumed(cls, limit: int | None, state: Mapping[str, Any] | None) -> "Patience":
        """Return the patience of a run that goes on from a state, or begins."""
        return cls(limit, **(state or {}))

    @property
    def is_over(self) -> bool:
        """Whether the run ends."""
        return self.limit is not None and self.waited >= self.limit

    def add(self, metric: float | None) -> None:
        """Count an evaluation; the lower its metric, the better. None or NaN is never better."""
        best = math.inf if self.best is None else self.best
        if metric is not None and metric < best:
            self.best, self.waited = metric, 0
        else:
            self.waited += 1

    def state(self) -> dict[str, Any]:
        """Return what a resumed run goes on from, as plain JSON."""
        return {"best": self.best, "waited": self.waited}

    def __str__(self) -> str:
        return f"no better evaluation in the last {self.waited}"
