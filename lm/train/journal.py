"""What a run writes down: metrics.jsonl, TensorBoard's folders, the picture of the loss."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lm.train.events import EventWriter

METRICS = "metrics.jsonl"
TRAIN = "train"


class Journal:
    """Appends figures by step; what an interrupted process wrote after its checkpoint is dropped.

    Args:
        workdir: the run folder.
        step: the step training starts or goes on from.
    """

    def __init__(self, workdir: Path, *, step: int) -> None:
        self.workdir = workdir
        self._step = step
        self._events: dict[str, EventWriter] = {}
        rewind(workdir / METRICS, step)
        self._file = (workdir / METRICS).open("a")

    def train(self, step: int, values: Mapping[str, float]) -> None:
        """Write the figures of a log window."""
        self._write({"step": step, "split": "train"}, values, folder=TRAIN)

    def evaluation(self, step: int, *, task: str, split: str, values: Mapping[str, float]) -> None:
        """Write the figures of one task's evaluation."""
        row = {"step": step, "split": split, "task": task}
        self._write(row, values, folder=f"training_eval/{task}")

    def flush(self) -> None:
        """Wait until the rows are on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        for events in self._events.values():
            events.close()

    def _write(self, row: dict[str, Any], values: Mapping[str, float], *, folder: str) -> None:
        """Append one row and its scalars."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps(row | finite) + "\n")
        self._file.flush()
        if folder not in self._events:
            self._events[folder] = EventWriter(self.workdir / folder, step=self._step)
        self._events[folder].scalars(row["step"], values)


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics file; a last line cut by a kill is left out."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def rewind(path: Path, step: int) -> None:
    """Drop the rows after a step: they will be written again, the same."""
    kept = [row for row in rows(path) if row["step"] <= step]
    temporary = path.with_name(f".tmp-{path.name}")
    temporary.unlink(missing_ok=True)
    with temporary.open("x") as file:  # never through a link
        file.writelines(json.dumps(row) + "\n" for row in kept)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
