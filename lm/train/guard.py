"""What happens when loss or gradient is not finite: kept, counted, then stopped or rolled back.

The update itself was refused on the device and left nothing behind. The guard learns of it a few
steps later, so that nobody waits for the device, and at once while something is wrong.
"""

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from lm.checkpoint import Store
from lm.engines.outcome import Outcome
from lm.errors import UserError
from lm.mesh import cluster
from lm.train import probe, refused, state
from lm.train.refused import Refused

LAG = 2


class Done(NamedTuple):
    """A step that was made: batches consumed, the last of them, what came of it."""

    step: int
    batch: Mapping[str, Any]
    outcome: Outcome


class Guard:
    """Keeps refused batches; after too many in a row ends the run or goes back.

    Going back means: weights, slots, averages and seeds of the last good checkpoint, one whose last
    update was accepted; the data go on after the last refused batch, and so does the step, which
    counts batches. All that the run learned since that checkpoint is given up together with the
    batches that led astray: to learn again from the good ones among them would end where it ended.

    Args:
        engine: an engine of `lm.engines`, its state that of the step.
        store: the run's checkpoints.
        max_skipped: refused updates in a row that are too many.
        max_rollbacks: times that a run goes back; after that, or with 0, it ends.
        say: shows a line.
    """

    def __init__(
        self,
        *,
        engine: Any,
        store: Store,
        max_skipped: int,
        max_rollbacks: int,
        say: Callable[[str], None],
    ) -> None:
        self.engine = engine
        self.store = store
        self.max_skipped = max_skipped
        self.max_rollbacks = max_rollbacks
        self.say = say
        self._held: deque[Done] = deque()
        engine.pull()
        self.in_row = self._count("skipped_in_row")

    @property
    def is_good(self) -> bool:
        """Whether the last update looked at was accepted."""
        return self.in_row == 0

    def look(self, done: Done, *, wait: bool) -> bool:
        """Look at the steps that have come to an end; tell whether the state went back.

        Args:
            done: the step made last.
            wait: whether to wait for it.

        Raises:
            UserError: too many updates were refused in a row.
        """
        self._held.append(done)
        lag = 0 if wait or self.in_row else min(LAG, self.max_skipped - 1)
        while len(self._held) > lag:
            first = self._held.popleft()
            if bool(first.outcome.accepted):
                self.in_row = 0
            else:
                self.in_row += 1
                lag = 0
                self._keep(first)
        if self.in_row < self.max_skipped:
            return False
        # From the first refused one on every step is waited for, so `done` is the last of them.
        self.go_back(self._reason(done))
        return True

    def go_back(self, reason: str) -> None:
        """Take the state of the last good checkpoint, its step and the data left as they are.

        Args:
            reason: for the line that says so.

        Raises:
            UserError: the run has gone back as often as it may, or nothing is there to go back to.
        """
        self.engine.pull()
        self.store.wait()
        _meet("the checkpoint to go back to")
        rollbacks = self._count("rollbacks")
        good = self.store.good() if rollbacks < self.max_rollbacks else None
        if good is None:
            raise UserError(
                f"{reason}; lower the learning rate or bind clip_norm, or go back and past these "
                f"batches with train.train.max_rollbacks = {rollbacks + 1}"
            )
        folder, manifest = good
        self._restore(folder)
        _meet("the state gone back to")  # before the first process saves, and deletes, again
        self.say(f"{reason}; went back to the state of step {manifest.step}, past these batches")

    def _keep(self, done: Done) -> None:
        """Keep a refused batch and say what was seen."""
        found = self._seen(done)
        path = refused.write(self._workdir, found)
        self.say(f"step {done.step}: update refused: {refused.told(found)}; batch kept in {path}")

    def _reason(self, done: Done) -> str:
        """Return what was seen of the last refused batch, layer by layer."""
        self.engine.pull()
        bad = probe.activations(self.engine.program, done.batch)
        file = self._workdir / refused.FOLDER / f"{done.step}.safetensors"
        return (
            f"step {done.step}: loss or gradient not finite in the last {self.in_row} steps, their "
            f"updates skipped: {refused.told(self._seen(done), bad)}; the same command with "
            f"--replay_batch={file} runs the last batch alone"
        )

    def _restore(self, folder: Path) -> None:
        """Take the state of a checkpoint; the counts of what went wrong go on."""
        skipped, rollbacks = self._count("skipped"), self._count("rollbacks")
        program = self.engine.program
        state.restore(program, folder)
        program.meter.reset()
        counts = {"skipped": skipped, "skipped_in_row": 0, "rollbacks": rollbacks + 1}
        for name, count in counts.items():
            program.meter.counters[name].assign(np.int32(count))
        self.in_row = 0

    def _seen(self, done: Done) -> Refused:
        """Return what a step's outcome tells."""
        paths = [weight.path for weight in self.engine.program.weights]
        return refused.seen(done.step, done.batch, done.outcome, paths)

    def _count(self, name: str) -> int:
        """Return a count of the meter; the engine must have been pulled."""
        return int(np.asarray(self.engine.program.meter.counters[name].value))

    @property
    def _workdir(self) -> Path:
        return self.store.folder.parent


def _meet(reason: str) -> None:
    """Wait for the other processes, where there are any."""
    if keras.backend.backend() == "jax" and cluster.count() > 1:
        cluster.barrier(reason)
