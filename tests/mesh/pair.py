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
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lm.checkpoint import Store
from lm.errors import UserError
from lm.mesh import Mesh, cluster
from lm.train import team
from lm.train.goodput import attempts
from tests.mesh.loopback import free_port
from tests.reliability.bars_finite import Poisoned
from tests.toy import Stream
from tests.train.toy_run import Interrupted, run

STEPS, AT, PAUSE = 24, 5, 0.05
SIGNALS = {
    "term_both": [(0, signal.SIGTERM), (1, signal.SIGTERM)],
    "term_second": [(1, signal.SIGTERM)],
    "interrupt_first": [(0, signal.SIGINT)],
}
SINGLE = {3: np.nan, 9: np.inf, 21: np.nan}
ROW = dict.fromkeys(range(13, 16), np.nan)
SETTINGS = {"train_steps": STEPS, "eval_period": STEPS, "save_period": 8, "evaluations": []}


def runs(folder: Path) -> dict[str, Any]:
    """Makes all runs; returns the exit codes of the processes and what each saved."""
    jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    slow = functools.partial(Interrupted, at=0, number=0, pause=PAUSE)
    found = {"whole": both(folder / "whole", Stream)}
    for name, sent in SIGNALS.items():
        found[name] = both(folder / name, slow, sent)
    found["resumed"] = both(folder / "term_second", Stream)
    single, row = (functools.partial(Poisoned, at=at) for at in (SINGLE, ROW))
    found["single"] = both(folder / "single", single)
    found["back"] = both(folder / "back", row, max_skipped=3, max_rollbacks=1)
    found["back_one"] = one(folder / "back_one", row, max_skipped=3, max_rollbacks=1)
    found["stopped"] = both(folder / "stopped", row, max_skipped=3)
    return found


def both(workdir: Path, stream: Any, sent: Sequence[tuple[int, int]] = (), **more: Any) -> Any:
    """Trains in two processes, sends signals at a step; returns codes and what each saved."""
    address = f"127.0.0.1:{free_port()}"
    children = [start(workdir, stream, (address, 2, index), **more) for index in (0, 1)]
    while sent and reached(workdir) < AT:
        time.sleep(0.01)
    for index, number in sent:
        os.kill(children[index], number)
    return record(workdir, children)


def one(workdir: Path, stream: Any, **more: Any) -> Any:
    """Trains in one process; returns the same."""
    return record(workdir, [start(workdir, stream, None, **more)])


def start(workdir: Path, stream: Any, place: tuple[str, int, int] | None, **more: Any) -> int:
    """Forks a process that trains; returns its number."""
    child = os.fork()
    if child:
        return child
    index = place[2] if place else 0
    log = os.open(f"{workdir}.{index}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 1
    try:
        code = trained(workdir, stream, place, **more)
        jax.distributed.shutdown()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def trained(workdir: Path, stream: Any, place: tuple[str, int, int] | None, **more: Any) -> int:
    """Trains as one of the processes; returns the exit code that the command would have."""
    mesh = None
    if place is not None:
        names = (cluster.ADDRESSES, cluster.PROCESSES, cluster.INDEX)
        os.environ |= dict(zip(names, map(str, place), strict=True))
        rules = [("batch", "data")]
        mesh = functools.partial(Mesh, shape={"data": 2}, rules=rules, cluster=cluster.addressed)
    note_saves(Path(f"{workdir}.{place[2] if place else 0}.saves"))
    try:
        run(workdir, stream=stream, mesh=mesh, **SETTINGS | more)
    except SystemExit as stop:
        return int(stop.code or 0)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def note_saves(file: Path) -> None:
    """Has this process note step and hash of every state that it hands to its store."""
    for kind in (Store, team.Reader):

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
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    places = range(len(children))
    saves = [Path(f"{workdir}.{i}.saves").read_text().splitlines() for i in places]
    newest = Store(workdir).newest()
    return {
        "codes": codes,
        "saves": [[json.loads(line) for line in lines] for lines in saves],
        "newest": newest and newest[1].step,
        "refused": sorted(int(path.stem) for path in (workdir / "refused").glob("*.safetensors")),
        "log": Path(f"{workdir}.0.log").read_text(),
    }


if __name__ == "__main__":
    print(json.dumps(runs(Path(sys.argv[1]))))
