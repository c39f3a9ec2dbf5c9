"""Goodput: which share of the executed steps, and of the time, a run got ahead by.

`attempts.jsonl` of the run folder has one line for each process that trained it, overwritten in
place after every step: a killed process leaves its last figures. A step is useful if no later
process did it again.
"""

import itertools
import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lm import disk

ATTEMPTS = "attempts.jsonl"
WIDTH = 512
ASIDE = ("start", "compilation", "evaluate", "checkpoint", "input")


class Goodput:
    """Keeps the line of this process.

    Args:
        workdir: the run folder.
        step: where this process starts or goes on.
        started: Unix time at which it began.
    """

    def __init__(self, workdir: Path, *, step: int, started: float) -> None:
        self._before = attempts(workdir)
        self._path = workdir / ATTEMPTS
        now = time.time()
        # The clock of the wall may be set meanwhile; a duration must not be.
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
        self._place = len(self._before) * WIDTH
        with disk.writing(self._path, "the goodput"):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            os.ftruncate(self._file, self._place)
        self._write()

    def advance(self, seconds: Mapping[str, float]) -> None:
        """Count one step.

        Args:
            seconds: what was done beside the steps so far, by name.
        """
        self._line["step"] += 1
        self._line["executed"] += 1
        self._line |= {name: round(value, 3) for name, value in seconds.items() if name in ASIDE}
        self._line["now"] = round(self._origin + time.monotonic(), 3)
        self._write()

    def shares(self) -> dict[str, float]:
        """Return the shares of the run so far; see `shares`."""
        return shares([*self._before, self._line])

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self) -> None:
        text = json.dumps(self._line, separators=(",", ":"))
        with disk.writing(self._path, "the goodput"):
            os.pwrite(self._file, f"{text:<{WIDTH - 1}}\n".encode(), self._place)


def attempts(workdir: Path) -> list[dict[str, Any]]:
    """Return the lines of the processes that trained a run; a broken line ends them."""
    path = workdir / ATTEMPTS
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return list(itertools.takewhile(bool, map(_attempt, lines)))


def _attempt(line: bytes) -> dict[str, Any]:
    """Return the line of a process, empty if it is broken."""
    try:
        found = json.loads(line) if len(line) == WIDTH else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and found.keys() >= _KEYS else {}


def shares(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Return counts of steps, and the shares of the time that all processes together ran.

    Args:
        lines: of `attempts`.

    Returns:
        `executed`, `useful`: steps; `goodput`: the share of the time spent in useful steps;
        `repeated`: in steps that were done again; `start`, `compilation`, `evaluate`,
        `checkpoint`, `input`: beside the steps; `down`: seconds between processes, in no share.

    Example:
        >>> first = {"begin": 0, "step": 30, "executed": 30, "started": 0, "now": 40, "start": 10}
        >>> again = {"begin": 20, "step": 40, "executed": 20, "started": 45, "now": 75, "start": 10}
        >>> found = shares([first, again])
        >>> found["useful"], found["executed"], round(found["goodput"], 3), found["down"]
        (40, 50, 0.571, 5.0)
    """
    total = sum(line["now"] - line["started"] for line in lines) or 1.0
    beside = {name: sum(line.get(name, 0.0) for line in lines) for name in ASIDE}
    useful = repeated = down = 0.0
    for i, line in enumerate(lines):
        after = lines[i + 1] if i + 1 < len(lines) else None
        kept = min(line["step"], after["begin"]) if after else line["step"]
        aside = sum(line.get(name, 0.0) for name in ASIDE)
        # All are rounded: of a process that made no step, nothing may be left.
        in_steps = max(line["now"] - line["started"] - aside, 0.0)
        share = max(kept - line["begin"], 0) / max(line["executed"], 1)
        useful += in_steps * share
        repeated += in_steps * (1 - share)
        down += max(after["started"] - line["now"], 0.0) if after else 0.0
    return {
        "executed": sum(line["executed"] for line in lines),
        "useful": lines[-1]["step"] - lines[0]["begin"] if lines else 0,
        "goodput": useful / total,
        "repeated": repeated / total,
        **{name: seconds / total for name, seconds in beside.items()},
        "down": down,
    }


def told(found: Mapping[str, float]) -> str:
    """Return the shares as one line.

    Example:
        >>> told({"executed": 50, "useful": 40, "goodput": 0.5, "repeated": 0.25, "down": 5.0})
        'goodput: 40 of 50 executed steps useful (80.0 %), 50.0 % of the time; repeated 25.0 %'
    """
    executed, useful = int(found["executed"]), int(found["useful"])
    share = f" ({useful / executed:.1%})".replace("%", " %") if executed else ""
    rest = [
        f"{name} {found[name]:.1%}".replace("%", " %")
        for name in ("repeated", *ASIDE)
        if found.get(name, 0.0) >= _LEAST
    ]
    text = f"goodput: {useful} of {executed} executed steps useful{share}, "
    text += f"{found['goodput']:.1%} of the time".replace("%", " %")
    return "; ".join([text, ", ".join(rest)]) if rest else text


_KEYS = {"begin", "step", "executed", "started", "now"}
_LEAST = 0.0005
