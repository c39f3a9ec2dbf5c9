"""The training loop: updates, and periodic logs, evaluations and checkpoints.

It ends at the last step, or early after several evaluations without a new best one.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lm.checkpoint import Store
from lm.engines import Engine, Outcome
from lm.errors import ConfigError
from lm.train import state
from lm.train.evaluation import Evaluation, TaskMetrics
from lm.train.guard import Guard, Step
from lm.train.hints import Hints
from lm.train.process_group import Interruptible, Stopped, StopSignals
from lm.train.reporter import Reporter
from lm.train.training_batches import HashedBatches, check_first_batch
from lm.types import Batch

LOSSES = ("cross_entropy", "loss")


class Plan(NamedTuple):
    """When to log, evaluate, save and stop.

    Attributes:
        log: steps between log lines.
        evaluate: steps between evaluations.
        save: steps between checkpoints.
        end: the last step, at which all three are due.
        max_skipped: consecutive skipped updates after which the run rolls back or stops.
        max_rollbacks: how often it may roll back.
    """

    log: int
    evaluate: int
    save: int
    end: int
    max_skipped: int
    max_rollbacks: int

    def is_due(self, step: int, period: int) -> bool:
        """Returns whether a step is a multiple of the period or the last one."""
        return step % period == 0 or step == self.end


@dataclasses.dataclass
class Patience:
    """Counts evaluations since the best one.

    Attributes:
        limit: evaluations without a new best that end the run; None never ends it.
        best: the lowest metric so far.
        waited: evaluations since then.

    Example:
        >>> patience = Patience(limit=2)
        >>> for metric in (3.0, 2.0, 2.5, 2.0):
        ...     patience.add(metric)
        >>> patience.is_over, str(patience)
        (True, 'no better evaluation in the last 2')
    """

    limit: int | None
    best: float | None = None
    waited: int = 0

    @classmethod
    def resumed(cls, limit: int | None, state: Mapping[str, Any] | None) -> "Patience":
        """Returns the patience of a resumed run, or of a new one if there is no state."""
        return cls(limit, **(state or {}))

    @property
    def is_over(self) -> bool:
        """Whether the run should end."""
        return self.limit is not None and self.waited >= self.limit

    def add(self, metric: float | None) -> None:
        """Counts an evaluation; lower metrics are better, None and NaN never are."""
        best = math.inf if self.best is None else self.best
        if metric is not None and metric < best:
            self.best, self.waited = metric, 0
        else:
            self.waited += 1

    def state(self) -> dict[str, Any]:
        """Returns the state for a checkpoint, as plain JSON."""
        return {"best": self.best, "waited": self.waited}

    def __str__(self) -> str:
        return f"no better evaluation in the last {self.waited}"


class Loop:
    """Trains from a step to the end.

    Args:
        engine: an engine of `lm.engines`, in the state of that step.
        data: the training batches.
        store: saves checkpoints.
        reporter: reports metrics.
        plan: when to log, evaluate, save and stop.
        evaluations: the first task of the first one decides which checkpoint is the best.
        patience: ends the training early.
        samples: a writer of `lm.train.samples`, called after evaluations, or None.
        metadata: for the manifest of every checkpoint.

    Raises:
        ConfigError: patience is set but there are no evaluations.
    """

    def __init__(  # noqa: PLR0913 - the parts of a run, keyword-only
        self,
        *,
        engine: Engine,
        data: HashedBatches,
        store: Store,
        reporter: Reporter,
        plan: Plan,
        evaluations: Sequence[Evaluation],
        patience: Patience,
        samples: Any,
        metadata: Mapping[str, Any],
    ) -> None:
        if patience.limit is not None and not evaluations:
            raise ConfigError("train.train.patience waits for evaluations; bind them or remove it")
        self.engine = engine
        self.data = data
        self.store = store
        self.reporter = reporter
        self.plan = plan
        self.evaluations = evaluations
        self.patience = patience
        self.samples = samples
        self.metadata = metadata
        self.hints = Hints()
        self.guard = Guard(
            engine=engine,
            store=store,
            max_skipped=plan.max_skipped,
            max_rollbacks=plan.max_rollbacks,
            log=reporter.log,
        )

    def run(self, step: int, signals: StopSignals, *, is_evaluated: bool = True) -> None:
        """Trains from a step to the end, or until a signal.

        Args:
            step: the current step of engine and data.
            signals: those of this process, or of all processes.
            is_evaluated: whether the evaluation due at this step has been done.

        Raises:
            UserError: too many updates were skipped, or a checkpoint cannot be written.
            SystemExit: 143, 130 or 129 after a signal, once the state is saved.
        """
        if step == 0:
            self._save(step, metric=None)  # fails now rather than at the first period
        if not is_evaluated:
            save = self.plan.is_due(step, self.plan.save)
            self._finish(step, signals, evaluate=True, save=save)
        first, clock = step, self.reporter.clock
        while step < self.plan.end and not self.patience.is_over:
            # The first batch fills buffers and the first step compiles: time both apart.
            with clock.exclude("input") if step == first else contextlib.nullcontext():
                batch = next(self.data)
            with clock.exclude("compilation" if step == first else ""):
                if step == first:
                    check_first_batch(self.engine.program.objective, batch)
                    outcome = self._first_step(step + 1, batch)
                else:
                    outcome = self.engine.step(batch)
            step += 1
            self.reporter.advance()
            self.store.poll()
            self._after(Step(step, batch, outcome), signals)
        self.store.wait()
        if note := self._note(first, step):
            self.reporter.log(note)

    def _note(self, first: int, step: int) -> str:
        """Returns what is to be said at the end of an attempt, its first and last step given."""
        if self.patience.is_over:
            return f"ended at step {step}: {self.patience}"
        if step == first:
            return (
                f"nothing is left to train: the run is at step {step}; a larger TRAIN_STEPS goes on"
            )
        return ""

    def _first_step(self, number: int, batch: Batch) -> Outcome:
        """Does the first step of this process; logs that it compiles and how long that took."""
        self.reporter.log("compiling the training step: the first step takes longer than others")
        started = time.monotonic()
        outcome = self.engine.step(batch)
        total, weight = np.asarray(outcome.terms["loss"])
        seconds = time.monotonic() - started
        self.reporter.log(f"step {number}: loss {total / weight:.4f}, compiled in {seconds:.0f} s")
        return outcome

    def _after(self, done: Step, signals: StopSignals) -> None:
        """Does what is due after a step."""
        step, stop = done.number, signals.received is not None
        periods = (self.plan.log, self.plan.evaluate, self.plan.save)
        log, evaluate, save = (self.plan.is_due(step, period) for period in periods)
        self.hints.add(done.batch)
        rolled_back = self.guard.check(done, wait=stop or log or evaluate or save)
        if log:
            self._log(step)
        self._finish(step, signals, evaluate=evaluate, save=save or rolled_back)

    def _finish(self, step: int, signals: StopSignals, *, evaluate: bool, save: bool) -> None:
        """Evaluates and saves; after a signal saves at once, without waiting for the evaluation."""
        metric = None
        if evaluate:
            with contextlib.suppress(Stopped):
                metric = self._evaluate(step, signals)
                self.patience.add(metric)
                self._tell_optimizer(metric)
                evaluate = False
        stop = signals.received is not None
        if stop or save or self.patience.is_over:
            self._save(step, metric=metric, is_evaluated=not evaluate)
        if stop:
            self.store.wait()
            self.reporter.log(f"stopped at step {step}, saved; the same command resumes")
            raise SystemExit(signals.exit_code)

    def _log(self, step: int) -> None:
        """Reports the means of the log window."""
        self.reporter.log_training(step, self.engine.logs(), waited=self.data.wait_seconds)
        for hint in self.hints.take():
            self.reporter.log(f"hint: {hint}")

    def _evaluate(self, step: int, signals: StopSignals) -> float | None:
        """Runs and reports all evaluations; returns the metric that decides the best checkpoint.

        Raises:
            Stopped: a signal came between two batches; nothing is reported.
        """
        engine = Interruptible(self.engine, signals)
        signals.restart()
        with self.reporter.clock.exclude("evaluate"):
            found = [task for evaluation in self.evaluations for task in evaluation(engine)]
            engine.check()
            if self.samples is not None:
                self.engine.pull()
                objective = self.engine.program.objective
                self.samples(objective, step=step, workdir=self.reporter.workdir)
            for task in found:
                self.reporter.log_evaluation(step, task)
            self.reporter.plot()
        signals.restart()
        return next((value for task in found if (value := decisive(task)) is not None), None)

    def _tell_optimizer(self, metric: float | None) -> None:
        """Passes the loss of an evaluation to an optimizer that depends on it."""
        optimizer = self.engine.program.optimizer
        if metric is not None and optimizer.triggers:
            self.engine.pull()
            if optimizer.evaluated(metric):
                self.reporter.log("the loss is no longer falling: the mean of the weights begins")

    def _save(self, step: int, *, metric: float | None, is_evaluated: bool = True) -> None:
        """Passes the training state to the store, which writes it in the background."""
        with self.reporter.clock.exclude("checkpoint"):
            rows = self.reporter.flush()
            self.engine.pull()
            groups = self._arrays(step)
            # Only regular checkpoints count as good, so that an interrupted run rolls back to the
            # same step as an uninterrupted one.
            is_good = self.guard.is_good and step % self.plan.save == 0
            self.store.save(
                step=step,
                groups=groups,
                data_state=self.data.state(),
                metadata={
                    **self.metadata,
                    "good": is_good,
                    "metric": metric,
                    "evaluated": is_evaluated,
                    "patience": self.patience.state(),
                    "rows": rows,
                    "batches": self.data.digest,
                },
            )

    def _arrays(self, step: int) -> dict[str, dict[str, np.ndarray]]:
        """Returns the training state; rolls back if an update made it non-finite."""
        try:
            return state.arrays(self.engine.program)
        except state.NotFiniteError as error:
            if step % self.plan.save:  # an uninterrupted run would neither save nor roll back here
                raise
            self.guard.roll_back(f"step {step}: {error}")
            return state.arrays(self.engine.program)


def decisive(found: TaskMetrics) -> float | None:
    """Returns the value that is lowest at the best checkpoint: minus the task's score, or the loss.

    Example:
        >>> decisive(TaskMetrics("lm", "validation", {"loss": 2.5}))
        2.5
        >>> decisive(TaskMetrics("cola", "validation", {"loss": 2.5, "matthews": 61.0}, 61.0))
        -61.0
    """
    if found.score is not None:
        return -found.score
    return next((found.values[name] for name in LOSSES if name in found.values), None)
