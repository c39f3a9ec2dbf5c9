"""Bars on the command `lm` as a process: how it ends, and two of them on one folder."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.reliability.bar import ROOT, Bar, Result

HANG = 60.0  # the bar is 10 s on an idle machine; its note says how long it took
# A shell starts what runs in its background with SIGINT ignored, for its children too.
COMMAND = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from lm.cli.main import main; sys.exit(main())"
)
# Holds a run folder as a trainer does, without a trainer's seconds of imports.
HOLD = (
    "import sys, time; from pathlib import Path; from lm.lock import lock\n"
    "with lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
)


class Ending(NamedTuple):
    """A command, what is done to it, and the exit code that is documented for it."""

    words: tuple[str, ...]
    status: int
    signal: int | None = None
    is_pipe_broken: bool = False


SUMMARY = ("summary", "--gin_file=models/gpt2/small.gin")
SHOW = ("show", "python_docs")
TRAIN = ("train", "--gin_file=quickstart.gin", "--workdir={folder}/run")
ENDINGS = (
    Ending(("list", "configs"), 0),
    Ending(("list", "configs"), 1, is_pipe_broken=True),
    Ending(("train", "--gin_file=nowhere.gin", "--workdir={folder}/run"), 2),
    Ending(TRAIN, 143, signal.SIGTERM),
    Ending(SHOW, 130, signal.SIGINT),
    Ending(("nonsense",), 2),
    Ending(("eval", "--workdir={folder}/empty"), 1),
    Ending(("generate", "--workdir={folder}/empty", "--prompt=a"), 1),
    Ending(("score", "--workdir={folder}/empty", "--input=none"), 1),
    Ending(("config", "explain", "NUM_HEADS", "--gin_file=models/gpt2/small.gin"), 0),
    Ending(("config", "explain", "NUM_HEADS", "--gin_file=models/gpt2/small.gin"), 1, None, True),
    Ending(("tokenizer", "encode", "--output=nonsense"), 2),
    Ending(("bench",), 2),
    Ending(("list", "tasks"), 0),
    Ending(("list", "tokenizers"), 0),
    Ending(SUMMARY, 0),
    Ending(SUMMARY, 143, signal.SIGTERM),
    Ending(SUMMARY, 130, signal.SIGINT),
    Ending(SHOW, 0),
    Ending(SHOW, 143, signal.SIGTERM),
    Ending(TRAIN, 130, signal.SIGINT),
)


def endings(trials: int, folder: Path) -> Result:
    """Ends commands in every way: the documented exit code, at once, and no process is left."""
    failures = []
    slowest = 0.0
    for ending in ENDINGS[:trials]:
        words = [word.format(folder=folder) for word in ending.words]
        status, seconds, is_left, output = _ended(ending, words)
        slowest = max(slowest, seconds)
        name = f"lm {' '.join(ending.words)}"
        if status != ending.status:
            failures.append(f"{name}: status {status}, not {ending.status}: {output}")
        if "Traceback" in output:
            failures.append(f"{name}: a traceback: {output}")
        if is_left:
            failures.append(f"{name}: a process is left")
        if ending.signal and seconds > HANG:
            failures.append(f"{name}: {seconds:.1f} s to end")
    note = f"slowest {slowest:.1f} s from the signal or the end of its work"
    return Result(min(trials, len(ENDINGS)), failures, note)


def _ended(ending: Ending, words: list[str]) -> tuple[int, float, bool, str]:
    """Returns exit status, seconds from signal to end, whether a process is left, its output."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stderr
    begin = time.perf_counter()
    if ending.is_pipe_broken:
        process.stdout.close()
        output = process.stderr.read()
    elif ending.signal:
        _wait_for_imports(process.pid)
        begin = time.perf_counter()
        process.send_signal(ending.signal)
        output = process.communicate()[1]
    else:
        output = process.communicate()[1]
    status = process.wait()
    seconds = time.perf_counter() - begin if ending.signal else 0.0
    process.stderr.close()
    try:
        os.killpg(process.pid, signal.SIGKILL)
        is_left = True
    except ProcessLookupError:
        is_left = False
    return status, seconds, is_left, " ".join(output.split())[-300:]


def _wait_for_imports(process: int) -> None:
    """Waits until a process has used a second of its processor: imports are under way."""
    ticks = os.sysconf("SC_CLK_TCK")
    for _ in range(600):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        if (int(fields[11]) + int(fields[12])) / ticks > 1.0:
            break
        time.sleep(0.05)


def double_launch(trials: int, folder: Path) -> Result:
    """Trains in a folder that another holds: refused by its number; killed, it is free again."""
    failures = []
    slowest = 0.0
    words = ["train", "--gin_file=quickstart.gin", f"--workdir={folder}/run"]
    for trial in range(trials):
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder / "run")],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout
        holder.stdout.readline()
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "lm", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        slowest = max(slowest, time.perf_counter() - begin)
        if done.returncode != 1 or f"in use by process {holder.pid} on " not in done.stderr:
            failures.append(f"trial {trial}: status {done.returncode}: {done.stderr[-200:]}")
        holder.kill()
        holder.wait()
        holder.stdout.close()
        from lm.lock import NAME, check, lock

        check(folder / "run")
        with lock(folder / "run"):
            owner = json.loads((folder / "run" / NAME).read_text())["pid"]
        if owner != os.getpid():
            failures.append(f"trial {trial}: the stale lock names {owner}")
    return Result(trials, failures, f"slowest refusal {slowest:.1f} s")


BARS = [
    Bar(
        19,
        "two trainers",
        "a second trainer's error names process and host; after kill -9 the folder is free",
        double_launch,
        short=1,
        long=5,
        slow=True,
    ),
    Bar(
        22,
        "exit",
        "success, failure, SIGINT, SIGTERM, broken pipe: documented code, no orphan, no traceback",
        endings,
        short=5,
        long=len(ENDINGS),
        slow=True,
    ),
]
