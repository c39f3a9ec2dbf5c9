"""Handling of non-finite losses and gradients: save the batch, then stop or roll back.

The device has already skipped the update and left the state unchanged. The guard reads the outcome
of a step `LAG` steps later, so that the host does not wait for the device; after a skipped update
it reads each outcome at once.
"""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from lm.checkpoint import Store
from lm.engines import Engine, Outcome
from lm.errors import UserError
from lm.mesh import cluster
from lm.train import skipped_batch, state
from lm.train.skipped_batch import SkippedBatch
from lm.types import Batch

LAG = 2


class Step(NamedTuple):
    """A dispatched step: the number of batches consumed, its batch and its outcome."""

    number: int
    batch: Batch
    outcome: Outcome


class Guard:
    """Saves the batches of skipped updates; after too many in a row stops or rolls back the run.

    A rollback restores weights, slots, averages and seeds of the last good checkpoint, one whose
    last update was accepted. Data and step count continue after the last skipped batch. What was
    learned since that checkpoint is lost: replaying the same batches would lead to the same state.

    Args:
        engine: an engine of `lm.engines`, in the current state.
        store: the run's checkpoints.
        max_skipped: consecutive skipped updates after which the run rolls back or stops.
        max_rollbacks: how often it may roll back; with 0 it stops.
        log: prints a line.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        store: Store,
        max_skipped: int,
        max_rollbacks: int,
        log: Callable[[str], None],
    ) -> None:
        self.engine = engine
        self.store = store
        self.max_skipped = max_skipped
        self.max_rollbacks = max_rollbacks
        self.log = log
        self._unread: deque[Step] = deque()
        engine.pull()
        self.in_row = self._count("skipped_in_row")

    @property
    def is_good(self) -> bool:
        """Whether the last outcome read was an accepted update."""
        return self.in_row == 0

    def check(self, step: Step, *, wait: bool) -> bool:
        """Reads the outcomes of earlier steps; returns whether the state was rolled back.

        Args:
            step: the newest step.
            wait: whether to wait for its outcome.

        Raises:
            UserError: too many updates were skipped in a row.
        """
        self._unread.append(step)
        lag = 0 if wait or self.in_row else min(LAG, self.max_skipped - 1)
        while len(self._unread) > lag:
            first = self._unread.popleft()
            if bool(first.outcome.accepted):
                self.in_row = 0
            else:
                self.in_row += 1
                lag = 0
                self._save(first)
        if self.in_row < self.max_skipped:
            return False
        # After a skipped update every outcome is read at once, so `step` is the last skipped one.
        self.roll_back(self._reason(step))
        return True

    def roll_back(self, reason: str) -> None:
        """Restores the state of the last good checkpoint; step and data do not move back.

        Args:
            reason: for the log line.

        Raises:
            UserError: no rollback is left, or there is no good checkpoint.
        """
        self.engine.pull()
        self.store.wait()
        _barrier("the checkpoint to roll back to")
        rollbacks = self._count("rollbacks")
        good = self.store.good() if rollbacks < self.max_rollbacks else None
        if good is None:
            raise UserError(
                f"{reason}; lower the learning rate or bind clip_norm, or roll back past these "
                f"batches with train.train.max_rollbacks = {rollbacks + 1}"
            )
        folder, manifest = good
        self._restore(folder)
        _barrier("the state rolled back to")  # before the first process saves, and deletes, again
        self.log(f"{reason}; rolled back to the state of step {manifest.step}, past these batches")

    def _save(self, step: Step) -> None:
        """Saves the batch of a skipped update and logs the cause."""
        skipped = self._skipped(step)
        path = skipped_batch.write(self._workdir, skipped)
        cause = skipped_batch.format_cause(skipped)
        self.log(f"step {step.number}: update skipped: {cause}; batch saved in {path}")

    def _reason(self, step: Step) -> str:
        """Describes the last skipped batch: its terms and the first non-finite tensors."""
        self.engine.pull()
        layers = skipped_batch.not_finite_layers(self.engine.program, step.batch)
        cause = skipped_batch.format_cause(self._skipped(step), layers)
        file = self._workdir / skipped_batch.FOLDER / f"{step.number}.safetensors"
        return (
            f"step {step.number}: loss or gradient not finite in the last {self.in_row} steps, "
            f"their updates skipped: {cause}; the same command with --replay_batch={file} runs the "
            "last batch alone"
        )

    def _restore(self, folder: Path) -> None:
        """Restores a checkpoint; the counts of skipped updates and rollbacks are kept."""
        skipped, rollbacks = self._count("skipped"), self._count("rollbacks")
        program = self.engine.program
        state.restore(program, folder)
        program.meter.reset()
        counts = {"skipped": skipped, "skipped_in_row": 0, "rollbacks": rollbacks + 1}
        for name, count in counts.items():
            program.meter.counters[name].assign(np.int32(count))
        self.in_row = 0

    def _skipped(self, step: Step) -> SkippedBatch:
        """Returns the batch of a skipped update with its outcome."""
        paths = self.engine.program.paths
        return skipped_batch.from_outcome(step.number, step.batch, step.outcome, paths)

    def _count(self, name: str) -> int:
        """Returns a count of the meter; the engine must have been pulled."""
        return int(np.asarray(self.engine.program.meter.counters[name].value))

    @property
    def _workdir(self) -> Path:
        return self.store.folder.parent


def _barrier(reason: str) -> None:
    """Waits for the other processes, if there are any."""
    if keras.backend.backend() == "jax" and cluster.count() > 1:
        cluster.barrier(reason)
