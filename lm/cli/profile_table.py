"""The tables of `lm bench --profile`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lm.cli import output

if TYPE_CHECKING:
    from lm.bench.profile import Profile

HEADERS = ["", "ms", "share", "largest"]


def show(profiles: Mapping[str, "Profile"]) -> None:
    """Prints a table for each call, under the time it took by the clock."""
    for name, found in profiles.items():
        print(
            f"{name}: {_ms(found.seconds):.1f} ms, in {_ms(found.waiting):.1f} of them nothing "
            f"runs; {found.faults:,.0f} page faults, {_ms(found.system_seconds):.1f} ms in the "
            "kernel on all cores"
        )
        rows = [
            [row.name, f"{_ms(row.seconds):.2f}", f"{row.share:.1%}", "; ".join(row.largest)]
            for row in found.rows
        ]
        output.print_table(HEADERS, rows)
        print()


def _ms(seconds: float) -> float:
    """Returns milliseconds."""
    return 1e3 * seconds
