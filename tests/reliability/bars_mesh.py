"""Bars on meshes: a state saved on one is restored on another."""

import json
from pathlib import Path

from tests.mesh.process import python
from tests.reliability.bar import Bar, Result


def other_mesh(trials: int, folder: Path) -> Result:
    """Saves on 1, 2, 4 and 8 devices and continues from each on each: always 16 pairs."""
    del trials
    found = json.loads(python("tests.mesh.pairs", str(folder)).splitlines()[-1])
    failures = []
    for pair in found:
        is_same = pair["from"] == pair["to"]
        if not (pair["restored"] and pair["loss"] <= 1e-5 and (pair["same_bits"] or not is_same)):
            failures.append(str(pair))
    largest = max(pair["loss"] for pair in found)
    return Result(len(found), failures, f"largest difference of loss after 10 steps {largest:.1e}")


BARS = [
    Bar(
        18,
        "mesh",
        "saved on 1, 2, 4, 8 devices, restored on each: equal tensors, same mesh equal bits",
        other_mesh,
        short=16,
        long=16,
        slow=True,
    ),
]
