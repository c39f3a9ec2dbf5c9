"""Logs a run's metrics as TensorBoard event files."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lm import disk
from lm.parts import part
from lm.train.logger import Row
from lm.train.state import StartPoint


@part
class TensorBoard:
    """Logs the training to `train/` and each task to `training_eval/<task>/` of the run folder."""

    def __init__(self) -> None:
        self._writers: dict[str, EventWriter] = {}

    def open(self, workdir: Path, start: StartPoint) -> None:
        """Remembers the folder; event files are created with their first row."""
        self._workdir, self._start = workdir, start

    def log(self, row: Row) -> None:
        """Appends the numbers of a row."""
        folder = "train" if row.task is None else f"training_eval/{row.task}"
        if folder not in self._writers:
            last = self._start.step if row.task is None else self._start.evaluated_step
            self._writers[folder] = EventWriter(self._workdir / folder, step=last)
        self._writers[folder].scalars(row.step, row.values)

    def close(self) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()


class EventWriter:
    """Appends scalars to a new event file, flushed after each row.

    Args:
        folder: TensorBoard's run folder; created if missing.
        step: the step at which training starts or continues; readers drop what an earlier process
            wrote after it.

    Raises:
        UserError: the file cannot be written; each method raises it too.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        # Imported here, so that importing this module does not load TensorFlow.
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
        """Writes tag -> number at a step."""
        summary = self._tf.compat.v1.Summary()
        for tag, value in values.items():
            summary.value.add(tag=tag, simple_value=value)
        with self._writing():
            self._write(step=step, summary=summary)

    def close(self) -> None:
        """Closes the file."""
        with self._writing():
            self._file.close()

    def _write(self, **content: Any) -> None:
        """Appends one event."""
        event = self._tf.compat.v1.Event(wall_time=time.time(), **content)
        self._file.write(event.SerializeToString())
        self._file.flush()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns errors of the file system, including TensorFlow's own, into one line."""
        with disk.writing(self._path, "TensorBoard's events"):
            try:
                yield
            except self._tf.errors.OpError as error:
                raise OSError(error.message) from error
