"""The protocol of loggers, which write a run's metrics somewhere.

`train.train.loggers` lists those of a run. A logger of your own is a class with three methods in a
module named by `--gin_modules`; docs/run_folder.md has an example.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from lm.train.state import StartPoint


class Row(NamedTuple):
    """The metrics of a log window of the training, or of the evaluation of one task.

    Attributes:
        step: the training step.
        split: "train", or the split that was evaluated.
        task: the task that was evaluated; None for the training.
        values: name -> number, possibly NaN.
    """

    step: int
    split: str
    task: str | None
    values: Mapping[str, float]


class Logger(Protocol):
    """Writes the metrics of a run somewhere; only the first process of a run has loggers.

    The constructor must have no side effects: it may run while the configuration is checked.
    """

    def open(self, workdir: Path, start: StartPoint) -> None:
        """Starts, or continues after an interruption.

        Args:
            workdir: the run folder.
            start: training continues from `start.step`; rows of later steps, and of evaluations
                after `start.evaluated_step`, will be logged again.
        """

    def log(self, row: Row) -> None:
        """Writes one row."""

    def close(self) -> None:
        """Closes: the run has ended or was interrupted."""
