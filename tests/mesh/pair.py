"""Trains the toy in two processes over loopback, which are sent signals and bad batches.

    KERAS_BACKEND=jax python -m tests.mesh.pair FOLDER      prints JSON, one record a run

The frameworks are imported once; every run forks. What each process saves, or would if it were the
first, it notes as a hash, so that two that decide differently are told apart.
"""

import functools
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorflow  # noqa: F401 - once, not in every fork: it writes TensorBoard's files

from lm.checkpoint import Store
from lm.errors import UserError
from lm.mesh import Mesh, cluster
from lm.train.evaluation import TaskMetrics, metrics, total
from lm.train.goodput import attempts
from lm.train.process_group import ReadOnlyStore
from tests.mesh.forked import ended, started
from tests.reliability.bars_finite import Poisoned
from tests.toy import batch
from tests.train.toy_run import run

STEPS, AT, PAUSE = 24, 5, 0.05
SIGNALS = {
    "term_both": [(0, signal.SIGTERM), (1, signal.SIGTERM)],
    "term_second": [(1, signal.SIGTERM)],
    "interrupt_first": [(0, signal.SIGINT)],
}
ALONE = {"first_killed": [(0, signal.SIGKILL)], "second_killed": [(1, signal.SIGKILL)]}
EVALUATED = {"term_evaluation": [(1, signal.SIGTERM)]}
SINGLE = {3: np.nan, 9: np.inf, 21: np.nan}
ROW = dict.fromkeys(range(13, 16), np.nan)
SETTINGS = {"train_steps": STEPS, "eval_period": STEPS, "save_period": 8, "evaluations": []}


def runs(folder: Path) -> dict[str, Any]:
    """Makes all runs; returns the exit codes of the processes and what each saved."""
    jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    quick, slow, row = (
        functools.partial(Trouble, at=at, pause=pause)
        for at, pause in ((SINGLE, 0.0), (SINGLE, PAUSE), (ROW, 0.0))
    )
    found = {"whole": both(folder / "whole", quick)}
    for name, sent in SIGNALS.items():
        found[name] = both(folder / name, slow, sent)
    for name, sent in EVALUATED.items():
        evaluations = [Evaluation]
        found[name] = both(folder / name, slow, sent, eval_period=AT, evaluations=evaluations)
    for name, sent in ALONE.items():
        found[name] = both(folder / name, slow, sent, save_period=2)
    found["resumed"] = both(folder / "term_second", quick)
    found["back"] = both(folder / "back", row, max_skipped=3, max_rollbacks=1)
    found["stopped"] = both(folder / "stopped", row, max_skipped=3)
    return found


class Trouble(Poisoned):
    """Has bad batches, at a pace that a signal can be sent at."""

    def __init__(self, *, at: dict[int, float], pause: float) -> None:
        super().__init__(at=at)
        self.pause = pause

    def __next__(self) -> dict[str, np.ndarray]:
        time.sleep(self.pause)
        return super().__next__()


class Evaluation:
    """An evaluation of so many batches that a signal can be sent meanwhile; it says how many."""

    BATCHES = 200

    def __call__(self, engine: Any) -> Any:
        yield TaskMetrics("toy", "validation", metrics(total(engine, self.batches())))

    def batches(self) -> Any:
        for number in range(self.BATCHES):
            time.sleep(PAUSE)
            yield batch(number)
            print(f"evaluated batch {number}", flush=True)


def both(workdir: Path, stream: Any, sent: Sequence[tuple[int, int]] = (), **more: Any) -> Any:
    """Trains in two processes, sends signals at a step; returns codes and what each saved."""
    works = [functools.partial(trained, workdir, stream, index, **more) for index in (0, 1)]
    children = started(works, workdir)
    while sent and reached(workdir) < AT:
        time.sleep(0.01)
    for index, number in sent:
        os.kill(children[index], number)
    return record(workdir, children)


def trained(workdir: Path, stream: Any, index: int, **more: Any) -> int:
    """Trains as one of the processes; returns the exit code that the command would have."""
    mesh = functools.partial(
        Mesh, shape={"data": 2}, rules=[("batch", "data")], cluster=cluster.addressed
    )
    note_saves(Path(f"{workdir}.{index}.saves"))
    try:
        run(workdir, stream=stream, mesh=mesh, **SETTINGS | more)
    except SystemExit as stop:
        return int(stop.code or 0)
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
        if "another process of the run has ended" in str(error):
            os._exit(
                1
            )  # as `cluster.exit_without_peers` has it; JAX would wait for the other's heartbeat
        return 1
    return 0


def note_saves(file: Path) -> None:
    """Has this process note step and hash of every state that it hands to its store."""
    for kind in (Store, ReadOnlyStore):

        def save(self: Any, save: Any = kind.save, **contents: Any) -> None:
            with file.open("a") as notes:
                notes.write(json.dumps([contents["step"], hashed(contents["groups"])]) + "\n")
            save(self, **contents)

        kind.save = save  # type: ignore[method-assign]


def hashed(groups: Any) -> str:
    found = hashlib.sha256()
    for kind in sorted(groups):
        for name in sorted(groups[kind]):
            found.update(name.encode() + np.ascontiguousarray(groups[kind][name]).tobytes())
    return found.hexdigest()


def reached(workdir: Path) -> int:
    """Returns the last step that the newest process has made."""
    lines = attempts(workdir)
    return lines[-1]["step"] if lines else 0


def record(workdir: Path, children: Sequence[int]) -> dict[str, Any]:
    """Waits for the processes of a run; returns how they ended and what they saved and said."""
    codes = ended(children)
    places = range(len(children))
    saves = [Path(f"{workdir}.{i}.saves").read_text().splitlines() for i in places]
    newest = Store(workdir).newest()
    return {
        "codes": codes,
        "saves": [[json.loads(line) for line in lines] for lines in saves],
        "newest": newest and newest[1].step,
        "evaluated": newest and newest[1].metadata["evaluated"],
        "refused": sorted(int(path.stem) for path in (workdir / "refused").glob("*.safetensors")),
        "logs": [Path(f"{workdir}.{i}.log").read_text() for i in places],
    }


if __name__ == "__main__":
    print(json.dumps(runs(Path(sys.argv[1]))))
