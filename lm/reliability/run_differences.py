"""Compares two runs: all tensors, metrics, samples and the sequence of batches."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lm.checkpoint import read, verify
from lm.checkpoint.store import FOLDER, steps
from lm.train.reporter import METRICS, rows

SAMPLES = "samples"
# Times, and counts of executed steps, differ in a resumed run.
TIMES = "timing/"


class RunComparison(NamedTuple):
    """The result of a comparison.

    Attributes:
        tensors: number of tensors compared, in all checkpoints that both runs have.
        numbers: number of metrics compared.
        samples: number of sample files compared.
        differences: one line each; empty if the runs are equal bit for bit.
    """

    tensors: int
    numbers: int
    samples: int
    differences: list[str]


def compare_runs(left: Path, right: Path) -> RunComparison:
    """Compares two finished runs.

    Args:
        left: a run folder.
        right: the other run folder.
    """
    tensors, found = 0, []
    ends = [steps(folder / FOLDER) for folder in (left, right)]
    if not ends[0] or not ends[1] or ends[0][-1] != ends[1][-1]:
        found.append(f"the last checkpoints are of steps {[end[-1:] for end in ends]}")
    for step in sorted({*ends[0]} & {*ends[1]}):
        pair = [folder / FOLDER / str(step) for folder in (left, right)]
        number, differences = _checkpoints(*pair)
        tensors += number
        found += [f"checkpoint {step}: {line}" for line in differences]
    metrics = [_metrics(folder) for folder in (left, right)]
    found += _differing("metrics.jsonl", *metrics)
    samples = [_samples(folder) for folder in (left, right)]
    found += _differing("sample", *samples)
    return RunComparison(tensors, len(metrics[0]), len(samples[0]), found)


def _checkpoints(left: Path, right: Path) -> tuple[int, list[str]]:
    """Returns the number of tensors of two checkpoints, and their differences."""
    manifests = verify(left), verify(right)
    batches = [manifest.metadata.get("batches") for manifest in manifests]
    found = [] if batches[0] == batches[1] else ["the batches consumed are not the same"]
    kinds = [{kind: set(group) for kind, group in m.tensors.items()} for m in manifests]
    if kinds[0] != kinds[1]:
        return 0, [*found, "the tensors have other names"]
    number = 0
    for kind in kinds[0]:
        a, b = read(left, kind), read(right, kind)
        number += len(a)
        found += [
            f"{kind} {name}: {line}"
            for name in sorted(a)
            if (line := _difference(a[name], b[name]))
        ]
    return number, found


def _difference(a: np.ndarray, b: np.ndarray) -> str:
    """Returns where two arrays differ; "" if they are equal bit for bit."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return f"{a.dtype} {list(a.shape)} and {b.dtype} {list(b.shape)}"
    if a.tobytes() == b.tobytes():
        return ""
    raw = [np.ascontiguousarray(x).reshape(-1).view(f"V{x.dtype.itemsize}") for x in (a, b)]
    differing = np.flatnonzero(raw[0] != raw[1])
    first = np.unravel_index(differing[0], a.shape) if a.shape else ()
    index = [int(i) for i in first]
    return (
        f"{len(differing)} of {a.size} numbers differ, the first at {index}: "
        f"{a[first]!s} and {b[first]!s}"
    )


def _metrics(folder: Path) -> dict[str, Any]:
    """Returns "step, split, task: name" -> value for all rows, without the times."""
    found = {}
    for row in rows(folder / METRICS):
        label = ", ".join(str(row[key]) for key in ("step", "split", "task") if key in row)
        for name, value in row.items():
            if not name.startswith(TIMES):
                found[f"{label}: {name}"] = value
    return found


def _samples(folder: Path) -> dict[str, str]:
    """Returns file name -> text."""
    return {path.name: path.read_text() for path in sorted((folder / SAMPLES).glob("*.txt"))}


def _differing(what: str, a: dict[str, Any], b: dict[str, Any]) -> Iterator[str]:
    """Yields a line for each name whose values differ."""
    for name in sorted({*a, *b}):
        if name not in a or name not in b:
            yield f"{what} {name} is only in one run"
        elif a[name] != b[name] and not (_is_nan(a[name]) and _is_nan(b[name])):
            yield f"{what} {name}: {a[name]!s:.60} and {b[name]!s:.60}"


def _is_nan(value: Any) -> bool:
    """Returns whether a value is NaN."""
    return isinstance(value, float) and math.isnan(value)
