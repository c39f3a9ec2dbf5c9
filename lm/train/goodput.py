"""Goodput: the fraction of a run's time spent in useful steps, over all restarts.

`attempts.jsonl` in the run folder has one line per process, overwritten in place after every step,
so that the counts of a killed process survive. A step is useful if no later process repeated it.
"""

import contextlib
import itertools
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lm import disk

ATTEMPTS = "attempts.jsonl"
WIDTH = 512
FIRST_STEP = "compilation"  # the first step of a process, which compiles
INPUT = "input"  # waiting for batches
EXCLUDED = ("start", FIRST_STEP, "evaluate", "checkpoint", INPUT)  # not counted as time of steps


class Goodput:
    """Keeps the line of this process up to date.

    Args:
        workdir: the run folder.
        step: the step at which this process starts.
        started: Unix time at which it started.
    """

    def __init__(self, workdir: Path, *, step: int, started: float) -> None:
        self._before = attempts(workdir)
        self._path = workdir / ATTEMPTS
        now = time.time()
        # Use the monotonic clock for differences: the wall clock may be adjusted during the run.
        self._origin = now - time.monotonic()
        self._line: dict[str, Any] = {
            "process": os.getpid(),
            "host": socket.gethostname()[:64],
            "begin": step,
            "step": step,
            "executed": 0,
            "started": round(started, 3),
            "now": round(now, 3),
            "start": round(now - started, 3),
        }
        self._offset = len(self._before) * WIDTH
        with disk.writing(self._path, "the goodput"):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            os.ftruncate(self._file, self._offset)
        self._write()

    def advance(self, seconds: Mapping[str, float]) -> None:
        """Counts one step.

        Args:
            seconds: name -> time so far that is not spent in steps.
        """
        self._line["step"] += 1
        self._line["executed"] += 1
        self._line |= {name: round(value, 3) for name, value in seconds.items() if name in EXCLUDED}
        self._line["now"] = round(self._origin + time.monotonic(), 3)
        self._write()

    def shares(self) -> dict[str, float]:
        """Returns the shares of the run so far; see `shares`."""
        return shares([*self._before, self._line])

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def _write(self) -> None:
        text = json.dumps(self._line, separators=(",", ":"))
        with disk.writing(self._path, "the goodput"):
            os.pwrite(self._file, f"{text:<{WIDTH - 1}}\n".encode(), self._offset)


def attempts(workdir: Path) -> list[dict[str, Any]]:
    """Returns the records of the processes that trained a run, up to the first broken line."""
    path = workdir / ATTEMPTS
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return list(itertools.takewhile(bool, map(_attempt, lines)))


def _attempt(line: bytes) -> dict[str, Any]:
    """Returns a line as a record; empty if it is broken."""
    try:
        found = json.loads(line) if len(line) == WIDTH else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and found.keys() >= _KEYS else {}


def shares(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Returns step counts, and fractions of the total time of all processes.

    Args:
        lines: of `attempts`.

    Returns:
        `executed` and `useful`: numbers of steps. `goodput` and `repeated`: fractions of the time
        spent in useful and in repeated steps. `start`, `compilation`, `evaluate`, `checkpoint` and
        `input`: fractions of the time outside steps. `down`: seconds between processes, not part of
        the total.

    Example:
        >>> first = {"begin": 0, "step": 30, "executed": 30, "started": 0, "now": 40, "start": 10}
        >>> again = {"begin": 20, "step": 40, "executed": 20, "started": 45, "now": 75, "start": 10}
        >>> found = shares([first, again])
        >>> found["useful"], found["executed"], round(found["goodput"], 3), found["down"]
        (40, 50, 0.571, 5.0)
    """
    total = sum(line["now"] - line["started"] for line in lines) or 1.0
    excluded = {name: sum(line.get(name, 0.0) for line in lines) for name in EXCLUDED}
    useful = repeated = down = 0.0
    for i, line in enumerate(lines):
        after = lines[i + 1] if i + 1 < len(lines) else None
        reached = min(line["step"], after["begin"]) if after else line["step"]
        outside = sum(line.get(name, 0.0) for name in EXCLUDED)
        # The numbers are rounded, so without a step the difference may be slightly negative.
        in_steps = max(line["now"] - line["started"] - outside, 0.0)
        share = max(reached - line["begin"], 0) / max(line["executed"], 1)
        useful += in_steps * share
        repeated += in_steps * (1 - share)
        down += max(after["started"] - line["now"], 0.0) if after else 0.0
    return {
        "executed": sum(line["executed"] for line in lines),
        "useful": lines[-1]["step"] - lines[0]["begin"] if lines else 0,
        "goodput": useful / total,
        "repeated": repeated / total,
        **{name: seconds / total for name, seconds in excluded.items()},
        "down": down,
    }


def format_goodput(found: Mapping[str, float]) -> str:
    """Returns the shares as one line.

    Example:
        >>> found = {"executed": 50, "useful": 40, "goodput": 0.5, "repeated": 0.25, "down": 5.0}
        >>> format_goodput(found)
        'goodput: 40 of 50 executed steps useful (80.0 %), 50.0 % of the time; repeated 25.0 %'
    """
    executed, useful = int(found["executed"]), int(found["useful"])
    share = f" ({useful / executed:.1%})".replace("%", " %") if executed else ""
    rest = [
        f"{name} {found[name]:.1%}".replace("%", " %")
        for name in ("repeated", *EXCLUDED)
        if found.get(name, 0.0) >= _LEAST
    ]
    text = f"goodput: {useful} of {executed} executed steps useful{share}, "
    text += f"{found['goodput']:.1%} of the time".replace("%", " %")
    return "; ".join([text, ", ".join(rest)]) if rest else text


_KEYS = {"begin", "step", "executed", "started", "now"}
_LEAST = 0.0005


class Clock:
    """Measures the speed of log windows without compilation, evaluation and saving.

    Attributes:
        last: name -> seconds of the latest exclusion in this window.
        totals: name -> seconds excluded since the start.
    """

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        self.totals: dict[str, float] = {}
        self._created = time.perf_counter()
        self._start_window(waited=0.0)

    @contextlib.contextmanager
    def exclude(self, name: str) -> Iterator[None]:
        """Excludes the time of the body from the window; an empty name counts it as a step."""
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        if name == INPUT:
            self._waited += seconds
        if name == FIRST_STEP:
            self.last["timing/first_step_seconds"] = age()
        if name:
            self.last[f"timing/{name}_seconds"] = seconds
            self.totals[name] = self.totals.get(name, 0.0) + seconds
            self._excluded += seconds
        else:
            self._steps += 1

    def window(self, *, waited: float) -> dict[str, float]:
        """Returns the rates since the last call and starts a new window.

        Args:
            waited: total seconds that the run has waited for data.
        """
        seconds = time.perf_counter() - self._start - self._excluded
        rates = {
            "timing/steps_per_second": self._steps / seconds if self._steps else float("nan"),
            "timing/input_wait": min(1.0, max(0.0, waited - self._waited) / seconds),
            "timing/uptime": time.perf_counter() - self._created,
            **self.last,
        }
        self.last = {}
        self._start_window(waited=waited)
        return rates

    def _start_window(self, *, waited: float) -> None:
        """Starts a window."""
        self._start = time.perf_counter()
        self._excluded = 0.0
        self._steps = 0
        self._waited = waited


def age() -> float:
    """Returns the seconds since this process was started, imports included."""
    try:
        # The process name in brackets may contain blanks; the start time, in ticks since boot, is
        # the 20th field after it.
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return time.process_time()
    return uptime - started / os.sysconf("SC_CLK_TCK")
