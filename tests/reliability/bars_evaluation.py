"""Bar 15: an evaluation gives the same again, whatever the batch, and says of what it is."""

import os
from pathlib import Path

import numpy as np

import lm
import lm.inference.run
from lm.inference.evaluate import EvaluationResult, write_result
from tests import tiny_run
from tests.reliability.bar import Bar, Result

SIZES = (8, 1, 32)
MUST_SAY = ("task_version", "data", "prompts", "checkpoint", "config", "tokenizer", "seed", "lm")


def repeated(trials: int, folder: Path) -> Result:
    """Evaluates again and again, in batches of several sizes, a generating and a scoring model."""
    os.environ["LM_CACHE_DIR"] = str(folder / "cache")
    failures = []
    for kind in ("answers", "continues"):
        (folder / kind).mkdir()
        run = lm.load(tiny_run.make(kind, folder / kind))
        first = run.evaluate(batch_size=SIZES[0])[0]
        for trial in range(trials):
            size = SIZES[trial % len(SIZES)]
            found = run.evaluate(batch_size=size)[0]
            differences = differing(first, found, is_same_size=size == SIZES[0])
            differences += ["other texts"] * (texts(run, size) != texts(run, SIZES[0]))
            failures += [f"{kind}, batches of {size}: {line}" for line in differences]
        lacking = [name for name in MUST_SAY if name not in first.metadata]
        failures += [f"{kind}: the record lacks {lacking}"] * bool(lacking)
        write_result(first, run.workdir)
    return Result(2 * trials, failures, f"batches of {', '.join(map(str, sorted(SIZES)))}")


def texts(run: lm.inference.run.Run, batch_size: int) -> list[str]:
    """Returns what the model writes greedily for all texts of the task, so many at a time."""
    made = run.generate(tiny_run.TEXTS, batch_size=batch_size, max_new_tokens=8)
    return [found[0].text for found in made.candidates]


def differing(first: EvaluationResult, found: EvaluationResult, *, is_same_size: bool) -> list[str]:
    """Returns what differs; scores may by 1e-5 where the batches had other sizes."""
    differences = [] if found.metadata == first.metadata else ["other metadata"]
    for name, column in first.columns.items():
        if name != "score" and found.columns[name] != column:
            differences.append(f"other {name}s")
    limit = 0.0 if is_same_size else 1e-5
    pairs = {name: (first.columns[name], found.columns[name]) for name in first.columns}
    if "score" in pairs and not np.allclose(*pairs["score"], rtol=limit, atol=0.0):
        differences.append("other scores")
    names = [n for n, value in first.metrics.items() if isinstance(value, int | float)]
    values = [[row.metrics[n] for n in names] for row in (first, found)]
    if not np.allclose(*values, rtol=limit, atol=0.0, equal_nan=True):
        differences.append(f"other metrics: {values}")
    return differences


BARS = [
    Bar(
        15,
        "evaluation",
        "again and in other batches: equal texts, scores within 1e-5; the record has all hashes",
        repeated,
        short=2,
        long=9,
        slow=True,
    ),
]
