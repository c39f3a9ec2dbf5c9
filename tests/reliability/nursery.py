"""Processes of `lm` by the dozen: one that has imported the frameworks, forked for every command.

`python -m tests.reliability.nursery` reads one JSON line a command from standard input, forks, and
runs `lm.cli.main.main` in the child; for every line it answers with the child's number, and with
its exit status when it has ended. Nothing is trained in the parent, so that a child is what a new
process would be but for the seconds of importing.

A child can be told to kill itself: {"file": n} is SIGKILL just before the n-th time it opens,
renames or removes something in its run folder, {"step": n, "after": s} that many seconds after it
asked for its n-th batch; another signal is {"step": n, "signal": 15}. {"pace": s} makes every step
that much longer.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm import quiet

ROOT = Path(__file__).parents[2]
TOUCHES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
MODULES = (
    "lm.cli.main",
    "lm.cli.train",
    "lm.inference.run",
    "lm.train",
    "lm.config",
    "lm.data.batching.pipeline",
    "lm.data.user_tasks.user",
    "matplotlib.pyplot",
)


class Nursery:
    """Starts commands of `lm` on one engine.

    Args:
        engine: `tensorflow` or `jax`.
        cache: folder of what the commands cache: tokens, records, compiled steps.
    """

    def __init__(self, engine: str, cache: Path) -> None:
        self.engine = engine
        command = [sys.executable, "-m", "tests.reliability.nursery"]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(engine, cache),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin and self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *_: object) -> None:
        self._in.close()
        self._out.close()
        self._process.terminate()
        self._process.wait()

    def run(
        self, *words: str, log: Path, end: Mapping[str, Any] | None = None, limit: float = 900
    ) -> int:
        """Runs one command to its end; returns its exit status, −n after signal n.

        Args:
            words: after `lm`.
            log: file that its output is appended to.
            end: how it shall kill itself; see above.
            limit: seconds after which it is killed.
        """
        ask = {"words": words, "log": str(log), "end": end or {}, "limit": limit}
        self._in.write(json.dumps(ask) + "\n")
        self._in.flush()
        answer = self._out.readline()
        if not answer:
            raise RuntimeError(f"the nursery of {self.engine} has ended: see {log}")
        return int(answer)


def environment(engine: str, cache: Path) -> dict[str, str]:
    """Returns the environment of a process on an engine."""
    return os.environ | {
        "KERAS_BACKEND": engine,
        "LM_CACHE_DIR": str(cache / "data"),
        "MPLBACKEND": "Agg",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "JAX_COMPILATION_CACHE_DIR": str(cache / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }


def main() -> None:
    """Reads commands, forks, answers with exit statuses."""
    quiet.install()
    for name in MODULES:
        importlib.import_module(name)
    if os.environ["KERAS_BACKEND"] == "jax":
        import jax  # noqa: F401
    for line in sys.stdin:
        ask = json.loads(line)
        child = os.fork()
        if child == 0:
            become(ask)
        print(waited(child, ask["limit"]), flush=True)


def waited(child: int, limit: float) -> int:
    """Returns the exit status of a child; kills it when its time is over."""
    alarm = threading.Timer(limit, os.kill, (child, signal.SIGKILL))
    alarm.start()
    _, status = os.waitpid(child, 0)
    alarm.cancel()
    return os.waitstatus_to_exitcode(status)


def become(ask: Mapping[str, Any]) -> None:
    """Runs the command in this process and ends it."""
    log = os.open(ask["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    prepare(ask["end"], ask["words"])
    from lm.cli.main import main as command

    code = 1
    try:
        code = command(ask["words"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def prepare(end: Mapping[str, Any], words: Sequence[str]) -> None:
    """Arranges the death of this process."""
    if "file" in end:
        workdir = next(w.partition("=")[2] for w in words if w.startswith("--workdir="))
        sys.addaudithook(_at_file(int(end["file"]), workdir))
    if "pace" in end:
        _at_pace(end["pace"])
    if "step" in end:
        _at_step(int(end["step"]), end.get("signal", signal.SIGKILL), end.get("after", 0.0))


def _at_file(count: int, workdir: str) -> Any:
    """Returns an audit hook that kills this process before it touches a file that often."""
    left = count

    def hook(event: str, args: Sequence[Any]) -> None:
        nonlocal left
        if event in TOUCHES and workdir in str(args[0]):
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def _at_pace(seconds: float) -> None:
    """Sleeps before every batch."""
    from lm.train.training_batches import HashedBatches

    ask = HashedBatches.__next__

    def asked(self: Any) -> Any:
        time.sleep(seconds)
        return ask(self)

    HashedBatches.__next__ = asked  # type: ignore[method-assign]


def _at_step(count: int, number: int, after: float) -> None:
    """Has a signal sent some time after a batch is asked for."""
    from lm.train.training_batches import HashedBatches

    left, ask = count, HashedBatches.__next__

    def kill() -> None:
        time.sleep(after)
        os.kill(os.getpid(), number)

    def asked(self: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            threading.Thread(target=kill, daemon=True).start() if after else kill()
        return ask(self)

    HashedBatches.__next__ = asked  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
