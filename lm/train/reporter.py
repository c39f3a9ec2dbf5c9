"""What a run reports: to the screen, to metrics.jsonl and TensorBoard, as loss.png."""

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lm import disk
from lm.errors import UserError
from lm.train.evaluation import TaskMetrics
from lm.train.goodput import INPUT, Clock, Goodput, format_goodput
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
    """

    def __init__(
        self, *, workdir: Path, start: StartPoint, steps: int, batch_size: int, started: float
    ) -> None:
        self.workdir = workdir
        self.batch_size = batch_size
        self.clock = Clock()
        self.goodput = Goodput(workdir, step=start.step, started=started)
        self._metrics = MetricsWriter(
            workdir, step=start.step, evaluated_step=start.evaluated_step, rows=start.rows
        )
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
        self._metrics.train(step, {**values, **rates})
        self._progress.show(step, {**values, **rates})

    def log_evaluation(self, step: int, found: TaskMetrics) -> None:
        """Report the metrics of one task."""
        self._metrics.evaluation(step, task=found.task, split=found.split, values=found.values)
        shown = ", ".join(f"{n} {v:.4f}" for n, v in found.values.items() if math.isfinite(v))
        self.log(f"step {step}: {found.task} {found.split}: {shown}")

    def flush(self) -> int:
        """Wait until all rows of metrics.jsonl are on the disk; return how many there are."""
        return self._metrics.flush()

    def plot(self) -> None:
        """Plot loss.png again."""
        path = self.workdir / "loss.png"
        with disk.writing(path, "the picture"):
            plot(rows(self.workdir / METRICS), path)

    def close(self) -> None:
        """Plot a last time and close the files, whatever else went wrong."""
        with contextlib.ExitStack() as files:
            for part in (self._progress, self.goodput, self._metrics):
                files.callback(part.close)
            try:
                self.plot()
            except UserError as error:
                self.log(str(error))
            self.log(format_goodput(self.goodput.shares()))


class MetricsWriter:
    """Appends metrics by step; what an interrupted process wrote after its checkpoint is dropped.

    Args:
        workdir: the run folder.
        step: the step training starts or goes on from.
        evaluated_step: the last step whose evaluation is done; `step` by default.
        rows: how many rows of the file the checkpoint relies on; None if it does not know.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        step: int,
        evaluated_step: int | None = None,
        rows: int | None = None,
    ) -> None:
        self.workdir = workdir
        self._train, self._evaluated = step, step if evaluated_step is None else evaluated_step
        self._events: dict[str, EventWriter] = {}
        self._path = workdir / METRICS
        self.rows = rewind(self._path, step=step, evaluated_step=self._evaluated, rows=rows)
        with disk.writing(self._path, _WHAT):
            self._file = self._path.open("ab", buffering=0)

    def train(self, step: int, values: Mapping[str, float]) -> None:
        """Write the metrics of a log window."""
        self._write({"step": step, "split": "train"}, values)
        self._write_events(TRAIN, step, values, last=self._train)

    def evaluation(self, step: int, *, task: str, split: str, values: Mapping[str, float]) -> None:
        """Write the metrics of one task's evaluation."""
        self._write({"step": step, "split": split, "task": task}, values)
        self._write_events(f"training_eval/{task}", step, values, last=self._evaluated)

    def flush(self) -> int:
        """Wait until the rows are on the disk; return how many there are."""
        with disk.writing(self._path, _WHAT):
            os.fsync(self._file.fileno())
        return self.rows

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        for events in self._events.values():
            events.close()

    def _write(self, row: dict[str, Any], values: Mapping[str, float]) -> None:
        """Append one row."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with disk.writing(self._path, _WHAT):
            disk.append(self._file, json.dumps(row | finite).encode() + b"\n")
        self.rows += 1

    def _write_events(
        self, folder: str, step: int, values: Mapping[str, float], *, last: int
    ) -> None:
        """Append the scalars of a row for TensorBoard, which drops earlier ones after `last`."""
        if folder not in self._events:
            self._events[folder] = EventWriter(self.workdir / folder, step=last)
        self._events[folder].scalars(step, values)


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


class EventWriter:
    """Appends scalars to one new event file, which can be read whenever the process dies.

    Args:
        folder: TensorBoard's run folder; it is made if it is not there.
        step: the step training starts or goes on from; readers drop what an earlier process had
            written after it.

    Raises:
        UserError: the file cannot be written; each method raises it too.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        # Imported here: only a run writes events, and `rows` is read without TensorFlow.
        import tensorflow as tf

        self._tf = tf
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._path = folder / name
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tf.io.TFRecordWriter(str(self._path))
            self._write(step=0, file_version="brain.Event:2")
            restart = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
            self._write(step=step + 1, session_log=restart)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write tag -> number at a step."""
        summary = self._tf.compat.v1.Summary()
        for tag, value in values.items():
            summary.value.add(tag=tag, simple_value=value)
        with self._writing():
            self._write(step=step, summary=summary)

    def close(self) -> None:
        """Close the file."""
        with self._writing():
            self._file.close()

    def _write(self, **content: Any) -> None:
        """Append one event."""
        event = self._tf.compat.v1.Event(wall_time=time.time(), **content)
        self._file.write(event.SerializeToString())
        self._file.flush()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn an error of the disk, also one that TensorFlow raises, into one line."""
        with disk.writing(self._path, "TensorBoard's events"):
            try:
                yield
            except self._tf.errors.OpError as error:
                raise OSError(error.message) from error
