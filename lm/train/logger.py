"""Where a run's metrics go: the protocol of a logger.

`train.train.loggers` names those of a run. A logger of your own is a class with three methods, in a
module that `--gin_modules` names; docs/run_folder.md shows one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from lm.train.state import StartPoint


class Row(NamedTuple):
    """The metrics of a log window of the training, or of one task's evaluation.

    Attributes:
        step: updates so far.
        split: "train", or the split that was evaluated.
        task: what was evaluated, None for the training.
        values: name -> number, which may be NaN.
    """

    step: int
    split: str
    task: str | None
    values: Mapping[str, float]


class Logger(Protocol):
    """Writes the metrics of a run somewhere. Of several processes the first alone has loggers.

    Making one touches nothing: it is made while the configuration is read.
    """

    def open(self, workdir: Path, start: StartPoint) -> None:
        """Begin, or go on after an interruption.

        Args:
            workdir: the run folder.
            start: training goes on from `start.step`; what was logged of later steps, and of
                evaluations after `start.evaluated_step`, comes again.
        """

    def log(self, row: Row) -> None:
        """Write one row."""

    def close(self) -> None:
        """End: the run is over or was interrupted."""
