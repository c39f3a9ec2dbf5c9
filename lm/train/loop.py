"""The step loop: batches in, updates, and at their steps logs, evaluations and checkpoints."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lm.checkpoint import Store
from lm.train import checks, state
from lm.train.evaluation import Evaluation
from lm.train.guard import Done, Guard
from lm.train.reports import Reports
from lm.train.signals import Interruptible, Signals, Stopped

METRICS = ("cross_entropy", "loss")


class Plan(NamedTuple):
    """When what is due.

    Attributes:
        log: steps between log lines.
        evaluate: steps between evaluations.
        save: steps between checkpoints.
        end: the last step, at which all three are due.
        max_skipped: updates skipped in a row that are too many.
        max_rollbacks: times that the run then goes back instead of ending.
    """

    log: int
    evaluate: int
    save: int
    end: int
    max_skipped: int
    max_rollbacks: int

    def is_due(self, step: int, period: int) -> bool:
        """Tell whether a step is a multiple of the period or the last one."""
        return step % period == 0 or step == self.end


class Loop:
    """Trains from a step to the end.

    Args:
        engine: an engine of `lm.engines`, its state that of the step.
        data: endless batches with `state()` and `wait_seconds`.
        store: where checkpoints go.
        reports: where figures go.
        plan: what is due when.
        evaluations: the first figures of the first one decide which checkpoint is the best.
        samples: a writer of `lm.train.samples`, called after evaluations, or None.
        facts: for the manifest of every checkpoint.
    """

    def __init__(
        self,
        *,
        engine: Any,
        data: Any,
        store: Store,
        reports: Reports,
        plan: Plan,
        evaluations: Sequence[Evaluation],
        samples: Any,
        facts: Mapping[str, Any],
    ) -> None:
        self.engine = engine
        self.data = data
        self.store = store
        self.reports = reports
        self.plan = plan
        self.evaluations = evaluations
        self.samples = samples
        self.facts = facts
        self.guard = Guard(
            engine=engine,
            store=store,
            max_skipped=plan.max_skipped,
            max_rollbacks=plan.max_rollbacks,
            say=reports.say,
        )

    def run(self, step: int, signals: Signals, *, is_evaluated: bool = True) -> None:
        """Train from a step to the end, or to the first signal.

        Args:
            step: what engine and data are at.
            signals: those of this process, or what all processes have agreed on.
            is_evaluated: whether the evaluation that was due at the step is done.

        Raises:
            UserError: too many updates were skipped, or a checkpoint cannot be written.
            SystemExit: 143, 130 or 129 after a signal, the state saved.
        """
        if step == 0:
            # Whatever cannot be saved is found out now.
            self._save(step, metric=None)
        if not is_evaluated:
            save = self.plan.is_due(step, self.plan.save)
            self._finish(step, signals, evaluate=True, save=save)
        begin, clock = step, self.reports.clock
        while step < self.plan.end:
            # The first batch fills buffers, the first step compiles: their time is no step's time.
            with clock.aside("input") if step == begin else contextlib.nullcontext():
                batch = next(self.data)
            with clock.aside("compilation" if step == begin else ""):
                if step == begin:
                    checks.first_batch(self.engine.program.objective, batch)
                outcome = self.engine.step(batch)
            step += 1
            self.reports.advance()
            self.store.poll()
            self._after(Done(step, batch, outcome), signals)
        self.store.wait()

    def _after(self, done: Done, signals: Signals) -> None:
        """Do what is due after a step."""
        step, stop = done.step, signals.received is not None
        periods = (self.plan.log, self.plan.evaluate, self.plan.save)
        log, evaluate, save = (self.plan.is_due(step, period) for period in periods)
        went_back = self.guard.look(done, wait=stop or log or evaluate or save)
        if log:
            self._log(step)
        self._finish(step, signals, evaluate=evaluate, save=save or went_back)

    def _finish(self, step: int, signals: Signals, *, evaluate: bool, save: bool) -> None:
        """Evaluate and save; after a signal save at once, whatever is left to evaluate."""
        metric = None
        if evaluate:
            with contextlib.suppress(Stopped):
                metric = self._evaluate(step, signals)
                evaluate = False
        stop = signals.received is not None
        if stop or save:
            self._save(step, metric=metric, is_evaluated=not evaluate)
        if stop:
            self.store.wait()
            self.reports.say(f"stopped at step {step}, saved; the same command goes on")
            raise SystemExit(signals.exit_code)

    def _log(self, step: int) -> None:
        """Report the means of the window."""
        self.reports.train(step, self.engine.logs(), waited=self.data.wait_seconds)

    def _evaluate(self, step: int, signals: Signals) -> float | None:
        """Report all evaluations and samples, or none; return what decides the best checkpoint.

        Raises:
            Stopped: a signal came between two batches.
        """
        engine = Interruptible(self.engine, signals)
        signals.restart()
        with self.reports.clock.aside("evaluate"):
            found = [figures for evaluation in self.evaluations for figures in evaluation(engine)]
            engine.check()
            if self.samples is not None:
                self.engine.pull()
                objective = self.engine.program.objective
                self.samples(objective, step=step, workdir=self.reports.workdir)
            for figures in found:
                self.reports.evaluation(step, figures)
            self.reports.draw()
        signals.restart()
        values = [figures.values for figures in found]
        return next((v[name] for v in values for name in METRICS if name in v), None)

    def _save(self, step: int, *, metric: float | None, is_evaluated: bool = True) -> None:
        """Hand the whole state to the writer."""
        with self.reports.clock.aside("checkpoint"):
            rows = self.reports.flush()
            self.engine.pull()
            groups = self._arrays(step)
            # Only a step that every run saves can be gone back to, also by an interrupted one.
            is_good = self.guard.is_good and step % self.plan.save == 0
            self.store.save(
                step=step,
                groups=groups,
                data_state=self.data.state(),
                metadata={
                    **self.facts,
                    "good": is_good,
                    "metric": metric,
                    "evaluated": is_evaluated,
                    "rows": rows,
                    "batches": self.data.digest,
                },
            )

    def _arrays(self, step: int) -> dict[str, dict[str, np.ndarray]]:
        """Return the whole state; one that an update broke is taken back, where it may be."""
        try:
            return state.arrays(self.engine.program)
        except state.NotFiniteError as error:
            if step % self.plan.save:  # an interrupted run must not go back where others would not
                raise
            self.guard.go_back(f"step {step}: {error}")
            return state.arrays(self.engine.program)
