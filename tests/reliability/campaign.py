"""One run killed over and over and gone on with by the same command, beside one left alone."""

import functools
import random
import signal
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from lm.checkpoint import CheckpointError, Store
from lm.reliability.run_differences import RunComparison, compare_runs
from lm.train.goodput import attempts, shares
from tests.reliability import experiment
from tests.reliability.nursery import Nursery

STEPS = 40
SIXTH = 6
POLITE = {signal.SIGTERM: 143, signal.SIGINT: 130}


class Interruption(NamedTuple):
    """One interruption and what was found after it.

    Attributes:
        end: what was done to the process; see `tests.reliability.nursery`.
        status: exit status of the process.
        reached: the last step that it executed.
        saved: the newest good checkpoint after it, −1 if there is none.
        complaint: what was wrong with the newest checkpoint, empty if nothing.
    """

    end: dict[str, Any]
    status: int
    reached: int
    saved: int
    complaint: str


class Outcome(NamedTuple):
    """What came of a campaign."""

    interruptions: list[Interruption]
    compared: RunComparison
    again: RunComparison
    shares: dict[str, float]
    log: str


@functools.cache
def campaign(engine: str, kind: str, trials: int) -> Outcome:
    """Runs an experiment whole, and once more with interruptions; cached, for several bars use it.

    Args:
        engine: `tensorflow` or `jax`.
        kind: of `tests.reliability.experiment`.
        trials: number of interruptions.
    """
    with tempfile.TemporaryDirectory(prefix=f"campaign-{engine}-") as name:
        base = Path(name)
        file = experiment.write(base / "experiment", kind=kind, steps=STEPS)
        words = ["train", f"--gin_file={file}"]
        with Nursery(engine, base / "cache") as nursery:
            for whole in ("whole", "again"):
                _finish(nursery, words, base / whole)
            interruptions = _interrupted(nursery, words, base / "parts", trials)
            _finish(nursery, words, base / "parts")
        return Outcome(
            interruptions,
            compare_runs(base / "whole", base / "parts"),
            compare_runs(base / "whole", base / "again"),
            shares(attempts(base / "parts")),
            (base / "parts.log").read_text(),
        )


def _finish(nursery: Nursery, words: list[str], workdir: Path) -> None:
    """Runs the command to its end."""
    log = workdir.with_suffix(".log")
    status = nursery.run(*words, f"--workdir={workdir}", log=log)
    assert status == 0, log.read_text()[-3000:]


def _interrupted(
    nursery: Nursery, words: list[str], workdir: Path, trials: int
) -> list[Interruption]:
    """Runs the command and ends it, again and again; it never gets to its last step."""
    rng = random.Random(f"{nursery.engine} {trials}")
    found: list[Interruption] = []
    log = workdir.with_suffix(".log")
    while len(found) < trials:
        lines = attempts(workdir) if workdir.exists() else []
        left = STEPS - (lines[-1]["step"] if lines else 0)
        end = _end(rng, len(found), most=max(2, min(7, left // max(trials - len(found), 1) + 3)))
        status = nursery.run(*words, f"--workdir={workdir}", log=log, end=end)
        if status == 0:
            break
        saved, complaint = _newest(workdir)
        after = attempts(workdir) if workdir.exists() else []
        # A process that died before its first line executed nothing.
        reached = after[-1]["step"] if len(after) > len(lines) else max(saved, 0)
        found.append(Interruption(end, status, reached, saved, complaint))
    return found


def _end(rng: random.Random, number: int, *, most: int) -> dict[str, Any]:
    """Returns how the next process shall end: every sixth by a signal that can be answered."""
    if number % SIXTH == SIXTH // 2:
        kind = rng.choice(sorted(POLITE))
        return {"step": rng.randint(1, most), "signal": int(kind)}
    if number % 2:
        return {"file": rng.randint(1, 60)}
    return {"step": rng.randint(2, most), "after": rng.uniform(0.0, 0.1)}


def _newest(workdir: Path) -> tuple[int, str]:
    """Returns the step of the newest checkpoint, and what is wrong with any newer one."""
    warnings: list[str] = []
    try:
        found = Store(workdir, warn=warnings.append).newest() if workdir.exists() else None
    except CheckpointError as error:
        warnings.append(str(error))
        found = None
    return (found[1].step if found else -1), "; ".join(warnings)
