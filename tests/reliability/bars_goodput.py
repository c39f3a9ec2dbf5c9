"""Bar 23: how many of the executed steps a run that is killed now and then keeps."""

import random
import signal
from pathlib import Path

from lm.train.goodput import attempts, shares
from tests.reliability import experiment
from tests.reliability.bar import Bar, Result
from tests.reliability.nursery import Nursery

EVERY, SAVE, LEAST = 200, 10, 0.95
# Of a step, besides its own time. A tiny model's would be less than a hundredth of a save's.
PACE = 0.02
FLAGS = (f"--gin.train.train.save_period={SAVE}", "--gin.train.train.log_period=50")


def useful(trials: int, folder: Path) -> Result:
    """Makes so many steps, killed after 200 on average: nearly all that is executed is kept."""
    file = experiment.write(folder / "experiment", steps=trials)
    words = ["train", f"--gin_file={file}", f"--gin.EVAL_PERIOD={trials}", *FLAGS]
    statuses = _ended(words, folder)
    found = shares(attempts(folder / "run"))
    kills = statuses.count(-signal.SIGKILL)
    share = found["useful"] / found["executed"]
    failures = [f"{share:.1%} of the executed steps were of use"] * (share < LEAST)
    if statuses[-1] or not kills or found["useful"] != trials:
        log = (folder / "log").read_text()[-500:]
        failures.append(f"{found['useful']:.0f} steps, ended with {statuses}: {log}")
    summary = f"{kills} kills, {found['useful']:.0f} of {found['executed']:.0f} steps useful"
    return Result(int(found["executed"]), failures, f"{summary}: {share:.1%}".replace("%", " %"))


def _ended(words: list[str], folder: Path) -> list[int]:
    """Runs the command until it is not killed; returns all exit statuses."""
    rng = random.Random(EVERY)
    statuses = [-int(signal.SIGKILL)]
    with Nursery("jax", folder / "cache") as nursery:
        while statuses[-1] == -signal.SIGKILL:
            step = rng.randint(1, 2 * EVERY - 1)
            end = {"step": step, "after": rng.uniform(0.0, PACE), "pace": PACE}
            workdir = f"--workdir={folder / 'run'}"
            statuses.append(nursery.run(*words, workdir, log=folder / "log", end=end))
    return statuses[1:]


BARS = [
    Bar(
        23,
        "useful steps",
        f"killed every {EVERY} steps on average, saved every {SAVE}: >= 95 % of the steps useful",
        useful,
        short=400,
        long=2000,
        slow=True,
    ),
]
