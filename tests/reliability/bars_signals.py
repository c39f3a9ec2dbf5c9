"""Bars on signals at bad moments: a terminal that closes, a scheduler in an evaluation."""

import contextlib
import functools
import io
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lm.checkpoint import Store
from lm.reliability.run_differences import compare_runs
from lm.train.evaluation import TaskMetrics, metrics, total
from lm.train.reporter import METRICS
from tests.reliability.bar import Bar, Result
from tests.toy import Stream, batch
from tests.train.compiled_once import compiled_once
from tests.train.toy_run import run

STEPS, PERIOD, BATCHES = 20, 4, 8
PACE = 0.02  # of a batch of an evaluation
LIMIT = 10.0  # seconds; schedulers allow 30


class Sender:
    """Sends this process a signal when something was done so many times.

    Attributes:
        sent: when it was, None until then.
    """

    def __init__(self, number: int = 0, *, at: int = 0, times: int = 1) -> None:
        self.number, self.left, self.times = number, at, times
        self.sent: float | None = None

    def count(self) -> None:
        """Counts once."""
        self.left -= 1
        if self.left == 0:
            self.sent = time.perf_counter()
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


class Batches(Stream):
    """Counts the batches of the training."""

    def __init__(self, sender: Sender) -> None:
        super().__init__()
        self.sender = sender

    def __next__(self) -> dict[str, np.ndarray]:
        self.sender.count()
        return super().__next__()


class Evaluation:
    """Evaluates two tasks at a pace and counts their batches."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender

    def __call__(self, engine: Any) -> Iterator[TaskMetrics]:
        for task in ("first", "second"):
            yield TaskMetrics(task, "validation", metrics(total(engine, self.batches())))

    def batches(self) -> Iterator[dict[str, np.ndarray]]:
        """Yields a few batches."""
        for number in range(BATCHES):
            time.sleep(PACE)
            self.sender.count()
            yield batch(number)


def train(folder: Path, *, step: Sender | None = None, evaluation: Sender | None = None) -> int:
    """Trains; returns the exit code."""
    make = functools.partial(Evaluation, evaluation or Sender())
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            run(
                folder,
                stream=functools.partial(Batches, step or Sender()),
                evaluations=[make],
                train_steps=STEPS,
                eval_period=PERIOD,
                save_period=PERIOD,
                keep=2,
            )
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def saved(folder: Path) -> tuple[int, bool]:
    """Returns the step of the newest checkpoint and whether its evaluation is done."""
    found = Store(folder).newest()
    return (found[1].step, found[1].metadata["evaluated"]) if found else (-1, False)


def differences(whole: Path, parts: Path) -> list[str]:
    """Returns in what the end of an interrupted run differs from that of a whole one."""
    lines = [(folder / METRICS).read_bytes().count(b"\n") for folder in (whole, parts)]
    found = compare_runs(whole, parts).differences
    return found + [f"{lines[1]} rows of metrics, not {lines[0]}"] * (lines[0] != lines[1])


def other_checkpoints(whole: Path, parts: Path) -> list[str]:
    """Returns which checkpoints differ: what is due at a step is saved there."""
    names = [sorted(p.name for p in (f / "checkpoints").iterdir()) for f in (whole, parts)]
    return [f"checkpoints {names[1]}, not {names[0]}"] * (names[0] != names[1])


def hang_ups(trials: int, folder: Path) -> Result:
    """Closes the terminal of a run at some step, as shells do, once or twice; or under nohup."""
    rng = random.Random(0)
    failures = []
    before = signal.getsignal(signal.SIGHUP)
    with compiled_once():
        train(folder / "whole")
        for trial in range(trials):
            step, times = rng.randint(1, STEPS - 1), rng.randint(1, 2)
            is_nohup = trial % 4 == 1
            signal.signal(signal.SIGHUP, signal.SIG_IGN if is_nohup else signal.SIG_DFL)
            parts = folder / str(trial)
            code = train(parts, step=Sender(signal.SIGHUP, at=step, times=times))
            wanted = (0, STEPS) if is_nohup else (129, step)
            if (code, saved(parts)[0]) != wanted:
                failures.append(f"step {step}, nohup {is_nohup}: {code}, saved {saved(parts)}")
            if not is_nohup:
                train(parts)
            failures += [f"step {step}: {line}" for line in differences(folder / "whole", parts)]
    signal.signal(signal.SIGHUP, before)
    return Result(trials, failures)


def in_evaluations(trials: int, folder: Path) -> Result:
    """Asks a run to end at some batch of an evaluation, and again when it repeats that one."""
    rng = random.Random(0)
    failures = []
    slowest = 0.0
    with compiled_once():
        train(folder / "whole")
        for trial in range(trials):
            parts, at = folder / str(trial), rng.randint(1, 2 * BATCHES * (STEPS // PERIOD))
            found = []
            for count in (at, rng.randint(1, 2 * BATCHES))[: 1 + trial % 2]:
                sender = Sender(signal.SIGTERM, at=count)
                code = train(parts, evaluation=sender)
                seconds = time.perf_counter() - (sender.sent or 0.0)
                slowest = max(slowest, seconds)
                found.append((code, *saved(parts), seconds < LIMIT))
            # The last batch of an evaluation is under way: nothing is left to repeat.
            step = PERIOD * -(-at // (2 * BATCHES))
            if found[0] not in ((143, step, False, True), (143, step, True, True)):
                failures.append(f"batch {at}: {found}")
            train(parts)
            both = folder / "whole", parts
            found_later = differences(*both) + other_checkpoints(*both)
            failures += [f"batch {at}: {line}" for line in found_later]
    note = f"slowest {slowest:.1f} s from the signal to the end"
    return Result(trials, failures, note)


BARS = [
    Bar(
        26,
        "hang-up",
        "SIGHUP, once or twice: saved at the step, exit code 129; under nohup the run goes on",
        hang_ups,
        short=2,
        long=40,
        slow=True,
    ),
    Bar(
        27,
        "in validation",
        "SIGTERM during an evaluation: saved and ended within a batch; resumed, the whole run's "
        "rows, metrics and tensors",
        in_evaluations,
        short=2,
        long=40,
        slow=True,
    ),
]
