"""Bars on one campaign of interruptions an engine: kills, signals, resumption, goodput.

The trials of a bar are shared among engines and kinds of experiment; see `campaign`.
"""

from pathlib import Path

from tests.reliability.bar import Bar, Result
from tests.reliability.campaign import POLITE, Outcome, campaign

ALL = (
    ("jax", "language_model"),
    ("tensorflow", "language_model"),
    ("jax", "span_corruption"),
    ("tensorflow", "span_corruption"),
    ("jax", "remembering"),
    ("tensorflow", "remembering"),
    ("jax", "convolved"),
    ("tensorflow", "convolved"),
)
LONG, SHORT = 64, 4
BESIDES = 8  # from this many trials on, both engines and all kinds


def campaigns(trials: int) -> list[Outcome]:
    """Returns the campaigns that share the trials; the last bar's are this one's."""
    chosen = ALL if trials >= BESIDES else ALL[:1]
    return [campaign(engine, kind, trials // len(chosen)) for engine, kind in chosen]


def kills(trials: int, folder: Path) -> Result:
    """Kills a run anywhere; each newest checkpoint is good, and the end is the whole run's."""
    del folder
    found = campaigns(trials)
    failures = [f"{i.end}: {i.complaint}" for o in found for i in o.interruptions if i.complaint]
    failures += [line for o in found for line in o.compared.differences]
    killed = sum(i.status == -9 for o in found for i in o.interruptions)
    tensors = sum(o.compared.tensors for o in found)
    return Result(
        killed, failures, f"{tensors} tensors compared, 0 unusable checkpoints" * (not failures)
    )


def resumption(trials: int, folder: Path) -> Result:
    """Compares metrics, samples and batches of the resumed and the uninterrupted run."""
    del folder
    found = campaigns(trials)
    failures = [line for o in found for line in o.compared.differences]
    numbers = sum(o.compared.numbers for o in found)
    samples = sum(o.compared.samples for o in found)
    resumed = sum(o.log.count("resumed from step") for o in found)
    return Result(resumed, failures, f"{numbers} metrics, {samples} samples compared")


def signals(trials: int, folder: Path) -> Result:
    """Asks a run to end at a random step: saved at once, exit code 143 or 130."""
    del folder
    asked = [i for o in campaigns(trials) for i in o.interruptions if "signal" in i.end]
    failures = []
    for i in asked:
        if i.status != POLITE[i.end["signal"]] or i.saved != i.reached:
            failures.append(f"{i.end}: status {i.status}, at step {i.reached}, saved {i.saved}")
    return Result(len(asked), failures)


def same_run(trials: int, folder: Path) -> Result:
    """Runs the same command twice: equal weights, metrics and samples."""
    del folder
    found = campaigns(trials)
    failures = [line for o in found for line in o.again.differences]
    silent = [o for o in found if "equal bits are promised on" not in o.log]
    failures += ["the run does not say what bounds the promise"] * len(silent)
    return Result(len(found), failures, f"{sum(o.again.tensors for o in found)} tensors compared")


def reported(trials: int, folder: Path) -> Result:
    """Holds what the run says of its goodput against what was seen from outside."""
    del folder
    failures = []
    useful = executed = 0
    for o in campaigns(trials):
        shares = o.shares
        useful, executed = useful + int(shares["useful"]), executed + int(shares["executed"])
        classes = ("goodput", "repeated", "start", "compilation", "evaluate", "checkpoint", "input")
        if not 0.98 < sum(shares[name] for name in classes) < 1.02:
            failures.append(f"the classes do not add up: {shares}")
        again = sum(max(i.reached - max(i.saved, 0), 0) for i in o.interruptions)
        if int(shares["executed"]) - int(shares["useful"]) != again:
            failures.append(f"{shares['executed']} executed steps, {again} were done again")
    note = f"{useful} of {executed} executed steps useful, saving every 2 and killed every few"
    return Result(executed, failures, note)


BARS = [
    Bar(
        1,
        "kill",
        "SIGKILL at any time, same command again: checkpoints usable, tensors as if uninterrupted",
        kills,
        short=SHORT,
        long=LONG,
        slow=True,
    ),
    Bar(
        3,
        "resume",
        "metrics, samples and sequence of batches equal the uninterrupted run's bit for bit",
        resumption,
        short=SHORT,
        long=LONG,
        slow=True,
    ),
    Bar(
        6,
        "signals",
        "SIGTERM and SIGINT: saved after the step, exit codes 143 and 130",
        signals,
        short=SHORT,
        long=LONG,
        slow=True,
    ),
    Bar(
        13,
        "same run",
        "the same command again: equal bits; the conditions for that are printed and stored",
        same_run,
        short=SHORT,
        long=LONG,
        slow=True,
    ),
    Bar(
        23,
        "goodput",
        "a run logs useful and executed steps over all restarts, and where the time went",
        reported,
        short=SHORT,
        long=LONG,
        slow=True,
    ),
]
