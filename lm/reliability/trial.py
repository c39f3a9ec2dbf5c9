"""Compares a run of `lm train` that is killed and resumed with an uninterrupted one."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from lm.errors import UserError
from lm.reliability.run_differences import RunComparison, compare_runs
from lm.train.goodput import attempts

_POLL_SECONDS = 0.02


class Trial(NamedTuple):
    """The result of a trial.

    Attributes:
        kills: for each kill, the last finished step.
        comparison: of the two runs.
    """

    kills: list[int]
    comparison: RunComparison


def verify_resume(
    *,
    flags: Sequence[str],
    workdir: Path,
    steps: int,
    kills: int,
    seed: int,
    log: Callable[[str], None],
) -> Trial:
    """Trains twice with the same command, once killed at random moments, and compares.

    Args:
        flags: of `lm train`, without --workdir.
        workdir: for the run folders `whole` and `parts`, and the output of both runs.
        steps: TRAIN_STEPS of the trial.
        kills: number of SIGKILLs.
        seed: of the moments of the kills.
        log: called with lines of progress.

    Raises:
        UserError: a run failed, or the folder already has a trial.
    """
    if any((workdir / name).exists() for name in ("whole", "parts")):
        raise UserError(f"{workdir} already has runs; give another --workdir")
    workdir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "lm", "train", *flags, *_bindings(steps, kills)]
    log(f"the uninterrupted run: {steps} steps")
    _run(command, workdir / "whole")
    rng, found = random.Random(seed), []
    for number in range(kills):
        remaining = steps - _reached(workdir / "parts")[0]
        goal = rng.randint(1, max(1, remaining // (kills - number + 1)))
        reached = _kill(command, workdir / "parts", goal, rng)
        if reached is None:
            break
        found.append(reached)
        log(f"kill {number + 1}: SIGKILL after step {reached}")
    log("the interrupted run: its last part")
    _run(command, workdir / "parts")
    return Trial(found, compare_runs(workdir / "whole", workdir / "parts"))


def _bindings(steps: int, kills: int) -> list[str]:
    """Returns bindings for a short run with frequent saves and evaluations."""
    save = max(1, steps // (2 * kills + 2))
    return [
        f"--gin.TRAIN_STEPS={steps}",
        f"--gin.EVAL_PERIOD={max(1, steps // 2)}",
        f"--gin.lm.train.train.save_period={save}",
        f"--gin.lm.train.train.log_period={max(1, save)}",
    ]


def _run(command: list[str], workdir: Path) -> None:
    """Runs the command to its end."""
    with _log_file(workdir).open("ab") as log:
        words = [*command, f"--workdir={workdir}"]
        status = subprocess.run(words, stdout=log, stderr=log, check=False).returncode
    if status:
        raise _failed(workdir, status)


def _kill(command: list[str], workdir: Path, goal: int, rng: random.Random) -> int | None:
    """Runs the command, kills it shortly after `goal` steps, and returns the last step it finished.

    Returns:
        None if it finished first.
    """
    before = len(attempts(workdir)) if workdir.exists() else 0
    with _log_file(workdir).open("ab") as log:
        process = subprocess.Popen([*command, f"--workdir={workdir}"], stdout=log, stderr=log)
        while process.poll() is None:
            _, executed, number = _reached(workdir)
            if number > before and executed >= goal:
                time.sleep(rng.random() ** 3)
                break
            time.sleep(_POLL_SECONDS)
        process.send_signal(signal.SIGKILL)
        status = process.wait()
    if status not in (0, -signal.SIGKILL):
        raise _failed(workdir, status)
    return None if status == 0 else _reached(workdir)[0]


def _reached(workdir: Path) -> tuple[int, int, int]:
    """Returns the last step, the steps of the last process, and the number of processes."""
    lines = attempts(workdir) if workdir.exists() else []
    return (lines[-1]["step"], lines[-1]["executed"], len(lines)) if lines else (0, 0, 0)


def _failed(workdir: Path, status: int) -> UserError:
    """Returns the error for a failed run, with the last line of its output."""
    lines = _log_file(workdir).read_text(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if "error" in line), "")
    return UserError(f"lm train ended with {status}: {last.removeprefix('lm: error: ')}")


def _log_file(workdir: Path) -> Path:
    """Returns the file of a run's output."""
    return workdir.with_suffix(".log")
