"""Bar on numbers that are not finite: skipped, stopped or taken back, never saved."""

import contextlib
import functools
import io
import os
import random
import signal
from pathlib import Path

import numpy as np

from lm.checkpoint import read, verify
from lm.errors import UserError
from lm.train.reporter import rows
from tests.reliability.bar import Bar, Result
from tests.toy import Stream
from tests.train.compiled_once import compiled_once
from tests.train.toy_run import run

STEPS, IN_A_ROW, SINGLE = 40, 10, 3
BAD = (np.nan, np.inf, -np.inf)


class Poisoned(Stream):
    """Has numbers that are not finite at some positions, and may send this process a signal."""

    def __init__(self, *, at: dict[int, float], signal_at: int = 0) -> None:
        super().__init__()
        self.at, self.signal_at = at, signal_at

    def __next__(self) -> dict[str, np.ndarray]:
        found = super().__next__()
        if self.position in self.at:
            found["decoder_loss_weights"][0, 0] = self.at[self.position]
        if self.position == self.signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return found


def train(folder: Path, at: dict[int, float], **settings: object) -> str:
    """Trains; returns how it ended: "done", "saved" after a signal, or the error."""
    signal_at = settings.pop("signal_at", 0)
    stream = functools.partial(Poisoned, at=at, signal_at=signal_at)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            run(folder, stream=stream, train_steps=STEPS, eval_period=STEPS, **settings)
    except UserError as error:
        return str(error)
    except SystemExit:
        return "saved"
    return "done"


def singles(rng: random.Random, folder: Path) -> list[str]:
    """Three bad batches: three updates skipped, the run finishes."""
    at = {step: rng.choice(BAD) for step in rng.sample(range(1, STEPS + 1), SINGLE)}
    end = train(folder, at)
    kept = {int(path.stem) for path in (folder / "refused").iterdir()}
    wrong = [] if end == "done" and kept == set(at) else [f"{at}: {end}, kept {kept}"]
    return wrong + ([] if skipped(folder) == SINGLE else [f"{at}: {skipped(folder)} skipped"])


def stop(rng: random.Random, folder: Path) -> list[str]:
    """Ten in a row: the run ends, its message names step, terms, tensors and the batch's file."""
    first = rng.randrange(1, STEPS - IN_A_ROW)
    end = train(folder, dict.fromkeys(range(first, first + IN_A_ROW), rng.choice(BAD)))
    wanted = [f"step {first + IN_A_ROW - 1}: ", "loss ", "decoder_loss_weights", "gradients toy/"]
    return [f"first {first}: {end}"] * (not all(part in end for part in wanted))


def back(rng: random.Random, folder: Path) -> list[str]:
    """Ten in a row with one way back, whole and interrupted among them: the same run."""
    first = rng.randrange(5, STEPS - IN_A_ROW)
    at = dict.fromkeys(range(first, first + IN_A_ROW), rng.choice(BAD))
    whole, parts = folder / "whole", folder / "parts"
    ends = [train(whole, at, max_rollbacks=1)]
    when = rng.randrange(first, first + IN_A_ROW + 4)
    ends += [train(parts, at, max_rollbacks=1, signal_at=when), train(parts, at, max_rollbacks=1)]
    if ends != ["done", "saved", "done"]:
        return [f"first {first}, signal at {when}: {ends}"]
    differ = [name for name, same in equal(whole, parts).items() if not same]
    return [f"first {first}, signal at {when}: {differ[:3]} differ"] * bool(differ)


def equal(left: Path, right: Path) -> dict[str, bool]:
    """Returns tensor -> whether it is the same at the end of both runs."""
    ends = [folder / "checkpoints" / str(STEPS) for folder in (left, right)]
    return {
        name: np.array_equal(array, read(ends[1], kind)[name])
        for kind in verify(ends[0]).tensors
        for name, array in read(ends[0], kind).items()
    }


def skipped(folder: Path) -> int:
    """Returns the last count of skipped updates."""
    counts = [row["skipped"] for row in rows(folder / "metrics.jsonl") if "skipped" in row]
    return counts[-1] if counts else 0


def not_finite(folder: Path) -> list[str]:
    """Returns the tensors of all checkpoints below a folder that are not finite."""
    return [
        f"{path.parent.name}: {name}"
        for path in folder.rglob("MANIFEST.json")
        for kind in verify(path.parent).tensors
        for name, array in read(path.parent, kind).items()
        if not np.isfinite(array.astype("float64")).all()
    ]


def bad_numbers(trials: int, folder: Path) -> Result:
    """Injects numbers that are not finite, in the three ways by turns."""
    rng = random.Random(0)
    failures = []
    with compiled_once():
        for trial in range(trials):
            place = folder / str(trial)
            failures += (singles, stop, back)[trial % 3](rng, place)
            failures += [f"saved not finite: {name}" for name in not_finite(place)]
    return Result(trials, failures)


BARS = [
    Bar(
        8,
        "not finite",
        "NaN and infinity are skipped, then stop or roll back, also if interrupted; never saved",
        bad_numbers,
        short=3,
        long=30,
        slow=True,
    ),
]
