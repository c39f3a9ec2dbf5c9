"""Reporting of a run: to the screen, to metrics.jsonl and other loggers, and as loss.png."""

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
    """Reports the metrics of training and evaluation to the screen, files and loggers.

    Args:
        workdir: the run folder.
        start: where training starts or continues.
        steps: the last step.
        batch_size: rows of a batch.
        started: Unix time at which this process started.
        loggers: loggers besides metrics.jsonl.
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
        """Shows one line."""
        self._progress.log(line)

    def advance(self) -> None:
        """Counts one step."""
        self.goodput.advance(self.clock.totals)
        self._progress.advance()

    def log_training(self, step: int, values: Mapping[str, float], *, waited: float) -> None:
        """Reports a log window.

        Args:
            step: its last step.
            values: its means.
            waited: total seconds that the run has waited for data.
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
        """Reports the metrics of one task."""
        self._write(Row(step, found.split, found.task, found.values))
        shown = ", ".join(f"{n} {v:.4f}" for n, v in found.values.items() if math.isfinite(v))
        self.log(f"step {step}: {found.task} {found.split}: {shown}")

    def flush(self) -> int:
        """Flushes metrics.jsonl to disk; returns its number of rows."""
        return self._lines.flush()

    def plot(self) -> None:
        """Updates loss.png."""
        path = self.workdir / "loss.png"
        with disk.writing(path, "the picture"):
            plot(rows(self.workdir / METRICS), path)

    def close(self) -> None:
        """Updates loss.png a last time and closes all files, even after an error."""
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
        """Passes a row to every logger."""
        for logger in self._loggers:
            logger.log(row)


class JSONLines:
    """Logs to metrics.jsonl, without the rows that an interrupted process wrote after a checkpoint.

    Attributes:
        rows: number of rows in the file.
    """

    def open(self, workdir: Path, start: StartPoint) -> None:
        """Opens the file and drops the rows that will be logged again."""
        self._path = workdir / METRICS
        self.rows = rewind(
            self._path, step=start.step, evaluated_step=start.evaluated_step, rows=start.rows
        )
        with disk.writing(self._path, _WHAT):
            self._file = self._path.open("ab", buffering=0)

    def log(self, row: Row) -> None:
        """Appends a line; non-finite numbers become null."""
        about: dict[str, Any] = {"step": row.step, "split": row.split}
        if row.task is not None:
            about["task"] = row.task
        finite = {name: x if math.isfinite(x) else None for name, x in row.values.items()}
        with disk.writing(self._path, _WHAT):
            disk.append(self._file, json.dumps(about | finite).encode() + b"\n")
        self.rows += 1

    def flush(self) -> int:
        """Flushes the rows to disk; returns their number."""
        with disk.writing(self._path, _WHAT):
            os.fsync(self._file.fileno())
        return self.rows

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a metrics file without truncated and damaged lines."""
    return [row for row in map(_row, _lines(path)) if row is not None]


def rewind(path: Path, *, step: int, evaluated_step: int, rows: int | None = None) -> int:
    """Drops the rows that will be logged again; returns how many are left.

    Logs a line if rows were lost, because lines are damaged or the file was truncated.

    Args:
        path: the metrics file.
        step: the step from which training continues.
        evaluated_step: the last step whose evaluation has been done.
        rows: number of rows when the checkpoint was saved; None if unknown.

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
        log(f"{path}: {lost} of the rows up to step {step} are lost{where}; training continues")
    disk.replace(path, b"".join(remaining), what=_WHAT)
    return len(remaining)


def _lines(path: Path) -> list[bytes]:
    """Returns the lines of a file with their line ends; empty if it does not exist."""
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def _row(line: bytes) -> dict[str, Any] | None:
    """Returns the row of a line, None if it is truncated or damaged."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_row = isinstance(row, dict) and isinstance(row.get("step"), int) and "split" in row
    return row if is_row and line.endswith(b"\n") else None
