"""Comparison at equal time: each gin file is trained for the same number of seconds.

A short run measures the speed, and the resulting number of steps is saved. After that a run is like
any other: determined by its seed, and resumable.
"""

import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lm.errors import UserError
from lm.experiments import command
from lm.train import reporter
from lm.train.progress import plot_by_time

MEASURED_STEPS, WINDOW = 48, 8
PICTURE = "comparison.png"
_RATE, _TOKENS = "timing/steps_per_second", "timing/target_tokens_per_second"
_STEPS_ONLY = ("train.train.evaluations=[]", "train.train.samples=None")


class Row(NamedTuple):
    """A row of the comparison.

    Attributes:
        name: of its folder.
        flags: of `lm train`, without --workdir and the number of steps.
        seconds: of training, without compilation, evaluation and saving.
        seeds: number of runs, with seeds 0, 1, …
    """

    name: str
    flags: tuple[str, ...]
    seconds: float
    seeds: int


def compare(rows: Sequence[Row], workdir: Path) -> list[dict[str, Any]]:
    """Runs what has not been run yet and returns the metrics of every row.

    Args:
        rows: what to compare.
        workdir: holds `<row>/steps.json`, a run folder `<row>/<seed>` for each seed, and a picture
            of the first of each.

    Raises:
        UserError: a run failed, after printing its own error.
    """
    # Plan all rows before the first is trained: only planning needs an idle machine.
    plans = [planned(row, workdir / row.name / "steps.json") for row in rows]
    found = []
    for row, plan in zip(rows, plans, strict=True):
        steps = plan["steps"]
        runs = [workdir / row.name / str(seed) for seed in range(row.seeds)]
        for seed, run in enumerate(runs):
            if not final(run, steps):
                _train(row, run, steps, f"--gin.RANDOM_SEED={seed}", f"--gin.EVAL_PERIOD={steps}")
        found.append(metrics(row, runs, plan))
    _plot(rows, plans, workdir)
    return found


def planned(row: Row, path: Path) -> dict[str, Any]:
    """Returns the number of steps and the speed; measured once, then read from the file.

    Raises:
        UserError: the file was written for another time.
    """
    if path.exists():
        plan = json.loads(path.read_text())
        if plan["seconds"] != row.seconds:
            raise UserError(
                f"{path}: planned for {plan['seconds']:g} s, not {row.seconds:g} s; "
                "give another --workdir"
            )
        return plan
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / row.name
        bindings = [f"--gin.{binding}" for binding in _STEPS_ONLY]
        period = f"--gin.train.train.log_period={WINDOW}"
        _train(row, folder, MEASURED_STEPS, period, *bindings)
        rate = _median(reporter.rows(folder / reporter.METRICS)[1:], _RATE)
    plan = {"seconds": row.seconds, "steps_per_second": rate, "steps": round(rate * row.seconds)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plan) + "\n")
    return plan


def final(run: Path, steps: int) -> list[dict[str, Any]]:
    """Returns the evaluations after the last step, a row per task; empty if it was not reached."""
    rows = reporter.rows(run / reporter.METRICS)
    return [row for row in rows if row["step"] == steps and row["split"] != reporter.TRAIN]


def metrics(row: Row, runs: Sequence[Path], plan: dict[str, Any]) -> dict[str, Any]:
    """Returns the metrics of a row: steps, planned speed, bits per byte of each task by seed.

    Models that do not predict whole texts, such as encoders, have no bits per byte.
    """
    logs = [line for run in runs for line in reporter.rows(run / reporter.METRICS)]
    tokens_per_step = _median(logs, _TOKENS) / _median(logs, _RATE)
    bits: dict[str, list[float]] = {}
    for run in runs:
        for found in final(run, plan["steps"]):
            if "bits_per_byte" in found:
                bits.setdefault(found["task"], []).append(found["bits_per_byte"])
    return {
        "name": row.name,
        "seconds": row.seconds,
        "steps": plan["steps"],
        "seeds": len(runs),
        "tokens_per_second": plan["steps_per_second"] * tokens_per_step,
        "bits_per_byte": bits,
    }


def _plot(rows: Sequence[Row], plans: Sequence[dict[str, Any]], workdir: Path) -> None:
    """Plots the run of seed 0 of every row, at the planned speed."""
    curves = {
        row.name: (
            reporter.rows(workdir / row.name / "0" / reporter.METRICS),
            plan["steps_per_second"],
        )
        for row, plan in zip(rows, plans, strict=True)
    }
    plot_by_time(curves, workdir / PICTURE)


def _train(row: Row, folder: Path, steps: int, *flags: str) -> None:
    """Trains a run of a row for a number of steps."""
    ends = f"--gin.TRAIN_STEPS={steps}", f"--workdir={folder}"
    command.run("train", *row.flags, *flags, *ends, what=row.name)


def _median(rows: Sequence[dict[str, Any]], name: str) -> float:
    return statistics.median(row[name] for row in rows if row.get(name))
