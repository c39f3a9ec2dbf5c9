"""Equal time on one machine: each gin file is trained for the same seconds, then all are tabled.

A budget in seconds becomes a number of steps first, from the speed of a short run, and is written
down: from there on a run is a run like any other, decided by its seed, killed and resumed.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lm.errors import UserError
from lm.train import journal
from lm.train.plot import plot_by_time

MEASURED_STEPS, WINDOW = 48, 8
PICTURE = "comparison.png"
_RATE, _TOKENS = "timing/steps_per_second", "timing/target_tokens_per_second"
_NOTHING_ELSE = ("train.train.evaluations=[]", "train.train.samples=None")


class Row(NamedTuple):
    """A line of the comparison.

    Attributes:
        name: of its folder.
        words: what `lm train` is told beside the folder and the number of steps.
        seconds: what a run may take, compilation, evaluation and saving left out.
        seeds: number of runs, of the seeds 0, 1, …
    """

    name: str
    words: tuple[str, ...]
    seconds: float
    seeds: int


def compare(rows: Sequence[Row], workdir: Path) -> list[dict[str, Any]]:
    """Train what is not trained yet and return the figures of every row.

    Args:
        rows: what to compare.
        workdir: holds `<row>/steps.json`, a run folder `<row>/<seed>` for each seed, and a picture
            of the first of each.

    Raises:
        UserError: a run failed; its own error stands above.
    """
    # All rows are planned before the first is trained: only this part needs the machine to itself.
    plans = [planned(row, workdir / row.name / "steps.json") for row in rows]
    found = []
    for row, plan in zip(rows, plans, strict=True):
        steps = plan["steps"]
        runs = [workdir / row.name / str(seed) for seed in range(row.seeds)]
        for seed, run in enumerate(runs):
            if not final(run, steps):
                _train(row, run, steps, f"--gin.RANDOM_SEED={seed}", f"--gin.EVAL_PERIOD={steps}")
        found.append(figures(row, runs, plan))
    _draw(rows, plans, workdir)
    return found


def planned(row: Row, path: Path) -> dict[str, Any]:
    """Return how many steps fit the seconds, and at which speed: measured once, then read.

    Raises:
        UserError: the file was written for other seconds.
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
        nothing = [f"--gin.{binding}" for binding in _NOTHING_ELSE]
        period = f"--gin.train.train.log_period={WINDOW}"
        _train(row, folder, MEASURED_STEPS, period, *nothing)
        rate = _median(journal.rows(folder / journal.METRICS)[1:], _RATE)
    plan = {"seconds": row.seconds, "steps_per_second": rate, "steps": round(rate * row.seconds)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plan) + "\n")
    return plan


def final(run: Path, steps: int) -> list[dict[str, Any]]:
    """Return the evaluations after the last step, a row per task; none if it was not reached."""
    rows = journal.rows(run / journal.METRICS)
    return [row for row in rows if row["step"] == steps and row["split"] != journal.TRAIN]


def figures(row: Row, runs: Sequence[Path], plan: dict[str, Any]) -> dict[str, Any]:
    """Return one line: steps, speed when it was planned, and bits per byte of each task by seed."""
    logs = [line for run in runs for line in journal.rows(run / journal.METRICS)]
    tokens_per_step = _median(logs, _TOKENS) / _median(logs, _RATE)
    bits: dict[str, list[float]] = {}
    for run in runs:
        for found in final(run, plan["steps"]):
            bits.setdefault(found["task"], []).append(found["bits_per_byte"])
    return {
        "name": row.name,
        "seconds": row.seconds,
        "steps": plan["steps"],
        "seeds": len(runs),
        "tokens_per_second": plan["steps_per_second"] * tokens_per_step,
        "bits_per_byte": bits,
    }


def _draw(rows: Sequence[Row], plans: Sequence[dict[str, Any]], workdir: Path) -> None:
    """Draw every row's run of seed 0, at the speed it was planned with."""
    curves = {
        row.name: (
            journal.rows(workdir / row.name / "0" / journal.METRICS),
            plan["steps_per_second"],
        )
        for row, plan in zip(rows, plans, strict=True)
    }
    plot_by_time(curves, workdir / PICTURE)


def _train(row: Row, folder: Path, steps: int, *words: str) -> None:
    """Run `lm train` in a process of its own, which is told when this one must end."""
    command = [sys.executable, "-m", "lm", "train", *row.words, *words]
    process = subprocess.Popen([*command, f"--gin.TRAIN_STEPS={steps}", f"--workdir={folder}"])
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if code:
        raise UserError(
            f"{row.name}: lm train ended with {code}; mend it and give the same command"
        )


def _median(rows: Sequence[dict[str, Any]], name: str) -> float:
    return statistics.median(row[name] for row in rows if row.get(name))
