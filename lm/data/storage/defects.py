"""What happens to defects that a reader meets: raised or counted."""

import collections
from pathlib import Path

from lm.errors import UserError


class DefectReport:
    """Raises or counts the defects that readers meet.

    Args:
        on_error: "raise" to stop at the first defect, "skip" to count it and go on.
    """

    def __init__(self, on_error: str = "raise"):
        if on_error not in ("raise", "skip"):
            raise UserError(f"on_error={on_error!r}: must be 'raise' or 'skip'")
        self.on_error = on_error
        self.counts: collections.Counter[str] = collections.Counter()
        self.first: dict[str, str] = {}

    def defect(self, path: str | Path, line: int, kind: str, detail: str = "") -> None:
        """Reports one defect; returns only when defects are skipped.

        Raises:
            UserError: naming file, line and defect, if the choice is "raise".
        """
        origin = f"{path}:{line}"
        if self.on_error == "raise":
            raise UserError(f"{origin}: {kind}{detail}; repair it or read with on_error='skip'")
        self.counts[kind] += 1
        self.first.setdefault(kind, origin)

    def __str__(self) -> str:
        """One line with each kind of defect, its count and where the first is."""
        parts = (f"{n} × {kind} (first {self.first[kind]})" for kind, n in self.counts.items())
        return ", ".join(parts) or "no defects"
