"""Bars on the position in the data: every example once, and no replay however far the run is."""

import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lm.data.batching import pipeline
from lm.data.rows import features, packing
from lm.data.storage import readers
from lm.data.user_tasks import user
from lm.train.training_batches import chained_hash
from tests.reliability.bar import Bar, Result

EXAMPLES, ROWS = 120, 4
FAR = 5000


def task(folder: Path, name: str) -> str:
    """Writes numbered lines and registers them as a task."""
    os.environ["LM_CACHE_DIR"] = str(folder / "cache")
    path = folder / f"{name}.txt"
    path.write_text("".join(f"{name} {number}\n" for number in range(EXAMPLES)))
    task = f"{name}_{folder.name}".replace("-", "_")
    return user.text_task(name=task, train=str(path), reader=readers.read_text_lines)


def numbers(batch: Mapping[str, np.ndarray]) -> list[int]:
    """Returns the numbers of the lines in a batch of bytes."""
    rows = [row[row > 0] for row in batch["decoder_target_tokens"]]
    # Ids of bytes begin after padding, end and unknown.
    texts = [bytes((row[row > 2] - 3).astype("uint8")).decode() for row in rows]
    return [int(text.split()[1]) for text in texts]


def exactly_once(trials: int, folder: Path) -> Result:
    """Loses the process again and again in one epoch; goes on from the last saved position."""
    name = task(folder, "line")
    settings = {"mixture_or_task_name": name, "lengths": {"targets": 32}, "batch_size": ROWS}

    def begin() -> pipeline.Pipeline:
        return pipeline.Pipeline(
            converter=features.LanguageModel, seed=3, shuffle_buffer=1, **settings
        )

    rng = random.Random(0)
    left = begin()
    state, consumed, saved = left.state(), [], 0
    for _ in range(trials):
        # What is consumed after the last save is lost with the process.
        for _ in range(rng.randint(1, max(2, EXAMPLES // ROWS // max(trials, 1)))):
            consumed.append(numbers(next(left)))
            if rng.random() < 0.5:
                state, saved = left.state(), len(consumed)
        del consumed[saved:]
        left = begin()
        left.restore(state)
    while len(consumed) < EXAMPLES // ROWS:
        consumed.append(numbers(next(left)))
    counts = Counter(number for batch in consumed[: EXAMPLES // ROWS] for number in batch)
    failures = [
        f"example {n} consumed {counts[n]} times" for n in range(EXAMPLES) if counts[n] != 1
    ]
    return Result(trials, failures, f"{EXAMPLES} examples")


def no_replay(trials: int, folder: Path) -> Result:
    """Goes on from batch 100 and from far away: the next batches, from a position of one size."""
    name = task(folder, "far")

    def begin() -> pipeline.Pipeline:
        return pipeline.Pipeline(
            mixture_or_task_name=name,
            lengths={"targets": 32},
            batch_size=ROWS,
            seed=3,
            converter=lambda: features.LanguageModel(pack=packing.FirstFit),
        )

    whole, failures, notes, sizes = begin(), [], [], []
    for step in range(1, FAR + 4):
        next(whole)
        if step not in (100, FAR):
            continue
        state = whole.state()
        expected = chained_hash("", next(begin_at(begin(), state)[0]))
        seconds = []
        for _ in range(trials):
            resumed, first = begin(), time.perf_counter()
            resumed.restore(state)
            found = next(resumed)
            seconds.append(time.perf_counter() - first)
            if chained_hash("", found) != expected:
                failures.append(f"step {step}: another batch follows")
        sizes.append(len(state))
        notes.append(f"{1000 * min(seconds):.0f} ms at {step:,} ({len(state):,} bytes)")
    if sizes[1] > 2 * sizes[0]:
        failures.append(f"the position grows with the step: {sizes} bytes")
    return Result(2 * trials, failures, f"to the first batch: {', '.join(notes)}")


def begin_at(data: pipeline.Pipeline, state: bytes) -> tuple[pipeline.Pipeline, bytes]:
    """Returns a pipeline at a position."""
    data.restore(state)
    return data, state


BARS = [
    Bar(
        3,
        "no replay",
        "data position: size and time to the first batch are the same at step 100 and at 5,000",
        no_replay,
        short=1,
        long=5,
        slow=True,
    ),
    Bar(
        17,
        "exactly once",
        "one epoch, interrupted: no example is missing or repeated",
        exactly_once,
        short=3,
        long=10,
        slow=True,
    ),
]
