"""Bar 24: what a model makes of an example depends on that example alone, at shipped settings."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import lm
from lm.cli.main import main
from tests.catalogue import MODELS
from tests.reliability import experiment
from tests.reliability.bar import ROOT, Bar, Result
from tests.reliability.isolation import Found, read

SPARSE = ("moe", "switch", "st_moe")
PACKED, PADDED = 1e-6, 3e-6  # rows of another width take other kernels, which add in another order
BATCHES = (1, 2, 16)
PACKING = [case.name for case in MODELS if "packed" not in case.lacks]


def isolated(trials: int, folder: Path) -> Result:
    """Looks at the sparse families on one engine, or in long form at all families on both."""
    del folder
    is_long = trials > len(SPARSE)
    names = PACKING if is_long else SPARSE[:trials]
    engines = ("tensorflow", "jax") if is_long else ("tensorflow",)
    rows = [row for engine in engines for row in table(engine, names, 20 if is_long else 3)]
    failures = [row.row() for row in rows if not holds(row)]
    packed, padding = max(row.packed for row in rows), max(row.padding for row in rows)
    note = f"largest difference packed {packed:.1e}, padded {padding:.1e}"
    return Result(sum(row.trials for row in rows), failures, note)


def table(engine: str, names: Sequence[str], changes: int) -> list[Found]:
    """Returns what a process of that engine finds."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.isolation", str(changes), *names],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": engine},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return [read(line) for line in done.stdout.splitlines() if line.startswith("|")]


def holds(row: Found) -> bool:
    """Tells whether a row is within its bounds."""
    return row.packed <= PACKED and row.padding <= PADDED and not row.changed


def scores(trials: int, folder: Path) -> Result:
    """Trains a mixture of experts and scores texts in batches of several sizes."""
    os.environ["LM_CACHE_DIR"] = str(folder / "cache")
    file = experiment.write(folder, steps=20, kind="experts")
    if main(["train", f"--gin_file={file}", f"--workdir={folder / 'run'}"]):
        return Result(0, ["the training failed"])
    run = lm.load(folder / "run")
    lines = [{"text": line} for line in (folder / "first.txt").read_text().splitlines()[:16]]
    found = {
        size: [x.log_likelihood for x in run.score(lines, batch_size=size)] for size in BATCHES
    }
    failures = [
        f"{lines[i]}: {one} in batches of 1, {other} of {size}"
        for size in BATCHES[1:] * min(trials, 1)
        for i, (one, other) in enumerate(zip(found[1], found[size], strict=True))
        if abs(one - other) > PACKED * abs(one)
    ]
    first = ", ".join(f"{found[size][0]:.6f}" for size in BATCHES)
    return Result(len(BATCHES) * len(lines), failures, f"of a text: {first}")


BARS = [
    Bar(
        24,
        "isolation",
        "every family as shipped: packed is alone, padding changes nothing, other examples no bit",
        isolated,
        short=len(SPARSE),
        long=len(PACKING),
        slow=True,
    ),
    Bar(
        24,
        "scores",
        "a trained mixture of experts scores a text the same in batches of 1, 2 and 16",
        scores,
        short=1,
        long=1,
        slow=True,
    ),
]
