"""What a run reports: to the screen, to metrics.jsonl and other loggers, as loss.png."""

import contextlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm import disk
from lm.errors import UserError
from lm.train.evaluation import TaskMetrics
from lm.train.goodput import INPUT, Clock, Goodput, format_goodput
from lm.train.logger import Logger, Row
from lm.train.progress import Progress, log, plot
from lm.train.state import StartPoint

METRICS = "metrics.jsonl"
TRAIN = "train"
_WHAT = "the metrics"


class Reporter:
    """Reports training and evaluation everywhere that a run shows them.

    Args:
        workdir: the run folder.
        start: where training begins or goes on.
        steps: where it ends.
        batch_size: rows of a batch.
        started: Unix time at which this process began the run.
        loggers: where metrics go besides metrics.jsonl.
    """

    def __init__(
        self,
        *,
        workdir: Path,
        start: StartPoint,
        steps: int,
        batch_size: int,
        started: float,
        loggers: Sequence[Logger] = (),
    ) -> None:
        self.workdir = workdir
        self.batch_size = batch_size
        self.clock = Clock()
        self.goodput = Goodput(workdir, step=start.step, started=started)
        self._lines = JSONLines()
        self._loggers = [self._lines, *loggers]
        for logger in self._loggers:
            logger.open(workdir, start)
        self._progress = Progress(step=start.step, steps=steps)

    def log(self, line: str) -> None:
        """Show one line."""
        self._progress.log(line)

    def advance(self) -> None:
        """Count one step."""
        self.goodput.advance(self.clock.totals)
        self._progress.advance()

    def log_training(self, step: int, values: Mapping[str, float], *, waited: float) -> None:
        """Report a log window.

        Args:
            step: its last step.
            values: its means.
            waited: seconds that the run has waited for data so far.
        """
        self.clock.totals[INPUT] = waited
        rates = self.clock.window(waited=waited)
        shares = self.goodput.shares()
        rates |= {f"timing/{name}": shares[name] for name in ("goodput", "executed", "useful")}
        per_second = rates["timing/steps_per_second"]
        rates["timing/seqs_per_second"] = per_second * self.batch_size
        rates["timing/target_tokens_per_second"] = per_second * values["target_tokens"]
        self._write(Row(step, TRAIN, None, {**values, **rates}))
        self._progress.show(step, {**values, **rates})

    def log_evaluation(self, step: int, found: TaskMetrics) -> None:
        """Report the metrics of one task."""
        self._write(Row(step, found.split, found.task, found.values))
        shown = ", ".join(f"{n} {v:.4f}" for n, v in found.values.items() if math.isfinite(v))
        self.log(f"step {step}: {found.task} {found.split}: {shown}")

    def flush(self) -> int:
        """Wait until all rows of metrics.jsonl are on the disk; return how many there are."""
        return self._lines.flush()

    def plot(self) -> None:
        """Plot loss.png again."""
        path = self.workdir / "loss.png"
        with disk.writing(path, "the picture"):
            plot(rows(self.workdir / METRICS), path)

    def close(self) -> None:
        """Plot a last time and close the files, whatever else went wrong."""
        with contextlib.ExitStack() as files:
            files.callback(self._progress.close)
            files.callback(self.goodput.close)
            for logger in self._loggers:
                files.callback(logger.close)
            try:
                self.plot()
            except UserError as error:
                self.log(str(error))
            self.log(format_goodput(self.goodput.shares()))

    def _write(self, row: Row) -> None:
        """Hand a row to every logger."""
        for logger in self._loggers:
            logger.log(row)


class JSONLines:
    """Logs to metrics.jsonl; what an interrupted process wrote after its checkpoint is dropped.

    Attributes:
        rows: how many the file has.
    """

    def open(self, workdir: Path, start: StartPoint) -> None:
        """Drop the rows that will come again; one line is logged where others are lost."""
        self._path = workdir / METRICS
        self.rows = rewind(
            self._path, step=start.step, evaluated_step=start.evaluated_step, rows=start.rows
        )
        with disk.writing(self._path, _WHAT):
            self._file = self._path.open("ab", buffering=0)

    def log(self, row: Row) -> None:
        """Append a line; what is not finite is null."""
        about: dict[str, Any] = {"step": row.step, "split": row.split}
        if row.task is not None:
            about["task"] = row.task
        finite = {name: x if math.isfinite(x) else None for name, x in row.values.items()}
        with disk.writing(self._path, _WHAT):
            disk.append(self._file, json.dumps(about | finite).encode() + b"\n")
        self.rows += 1

    def flush(self) -> int:
        """Wait until the rows are on the disk; return how many there are."""
        with disk.writing(self._path, _WHAT):
            os.fsync(self._file.fileno())
        return self.rows

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics file; cut and damaged lines are left out."""
    return [row for row in map(_row, _lines(path)) if row is not None]


def rewind(path: Path, *, step: int, evaluated_step: int, rows: int | None = None) -> int:
    """Drop the rows that will be written again; return how many are left.

    One line is logged where rows are lost: in damaged lines, or in a file that was cut.

    Args:
        path: the metrics file.
        step: training goes on from it.
        evaluated_step: the last step whose evaluation is done.
        rows: how many there were when the checkpoint was saved; None if it does not know.

    Raises:
        UserError: the file cannot be written.
    """
    lines = _lines(path)
    found = list(map(_row, lines))
    last = {True: evaluated_step, False: step}
    remaining = [
        line
        for line, row in zip(lines, found, strict=True)
        if row is not None and row["step"] <= last["task" in row]
    ]
    damaged = [str(i) for i, row in enumerate(found, start=1) if row is None]
    lost = len(damaged) if rows is None else rows - len(remaining)
    if lost > 0:
        where = f"; damaged lines: {', '.join(damaged)}" if damaged else ""
        log(f"{path}: {lost} of the rows up to step {step} are lost{where}; the run goes on")
    disk.replace(path, b"".join(remaining), what=_WHAT)
    return len(remaining)


def _lines(path: Path) -> list[bytes]:
    """Return the lines of a file with their ends, none if it is not there."""
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def _row(line: bytes) -> dict[str, Any] | None:
    """Return the row of a line, None if it was cut or damaged."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_row = isinstance(row, dict) and isinstance(row.get("step"), int) and "split" in row
    return row if is_row and line.endswith(b"\n") else None
