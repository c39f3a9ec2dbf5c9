"""What a run tells: to the screen, to the journal, as a picture."""

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path

from lm import disk
from lm.errors import UserError
from lm.train import journal
from lm.train.evaluation import Figures
from lm.train.goodput import Clock, Goodput, told
from lm.train.journal import Journal
from lm.train.plot import plot
from lm.train.progress import Progress
from lm.train.start import Position


class Reports:
    """Everything that shows how a run does.

    Args:
        workdir: the run folder.
        begin: where training starts or goes on.
        steps: where it ends.
        rows: rows of a batch.
        started: Unix time at which this process began with the run.
    """

    def __init__(
        self, *, workdir: Path, begin: Position, steps: int, rows: int, started: float
    ) -> None:
        self.workdir = workdir
        self.rows = rows
        self.clock = Clock()
        self.goodput = Goodput(workdir, step=begin.step, started=started)
        self._journal = Journal(
            workdir, step=begin.step, evaluated=begin.evaluated, rows=begin.rows
        )
        self._progress = Progress(step=begin.step, steps=steps)

    def say(self, line: str) -> None:
        """Show one line."""
        self._progress.say(line)

    def advance(self) -> None:
        """Count one step."""
        self.goodput.advance(self.clock.totals)
        self._progress.advance()

    def train(self, step: int, values: Mapping[str, float], *, waited: float) -> None:
        """Report a log window.

        Args:
            step: its last step.
            values: its means.
            waited: seconds that the run has waited for data so far.
        """
        self.clock.totals["input"] = waited
        rates = self.clock.window(waited=waited)
        shares = self.goodput.shares()
        rates |= {f"timing/{name}": shares[name] for name in ("goodput", "executed", "useful")}
        per_second = rates["timing/steps_per_second"]
        rates["timing/seqs_per_second"] = per_second * self.rows
        rates["timing/target_tokens_per_second"] = per_second * values["target_tokens"]
        self._journal.train(step, {**values, **rates})
        self._progress.log(step, {**values, **rates})

    def evaluation(self, step: int, found: Figures) -> None:
        """Report the figures of one task."""
        self._journal.evaluation(step, task=found.task, split=found.split, values=found.values)
        shown = ", ".join(f"{n} {v:.4f}" for n, v in found.values.items() if math.isfinite(v))
        self.say(f"step {step}: {found.task} {found.split}: {shown}")

    def flush(self) -> int:
        """Wait until all rows are on the disk and count them: a checkpoint will rely on them."""
        return self._journal.flush()

    def draw(self) -> None:
        """Draw loss.png anew."""
        path = self.workdir / "loss.png"
        with disk.writing(path, "the picture"):
            plot(journal.rows(self.workdir / journal.METRICS), path)

    def close(self) -> None:
        """Draw a last time and close the files, whatever else went wrong."""
        with contextlib.ExitStack() as files:
            for part in (self._progress, self.goodput, self._journal):
                files.callback(part.close)
            try:
                self.draw()
            except UserError as error:
                self.say(str(error))
            self.say(told(self.goodput.shares()))
