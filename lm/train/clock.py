"""Where the time of a run goes: steps, and what is done beside them."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

FIRST_STEP = "compilation"  # the name under which the loop leaves out its first step
INPUT = "input"  # and its first batch, for which buffers are filled


class Clock:
    """Times log windows, leaving out compilation, evaluation and saving.

    Attributes:
        beside: name -> seconds of the last time something was done beside the steps.
        totals: name -> seconds of all times since the beginning.
    """

    def __init__(self) -> None:
        self.beside: dict[str, float] = {}
        self.totals: dict[str, float] = {}
        self._birth = time.perf_counter()
        self._begin(waited=0.0)

    @contextlib.contextmanager
    def aside(self, name: str) -> Iterator[None]:
        """Leave the time of the body out of the window; without a name the body is a step."""
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        if name == INPUT:
            self._waited += seconds
        if name == FIRST_STEP:
            self.beside["timing/first_step_seconds"] = age()
        if name:
            self.beside[f"timing/{name}_seconds"] = seconds
            self.totals[name] = self.totals.get(name, 0.0) + seconds
            self._left_out += seconds
        else:
            self._steps += 1

    def window(self, *, waited: float) -> dict[str, float]:
        """Return the rates since the last call and begin anew.

        Args:
            waited: seconds that the run has waited for data so far.
        """
        seconds = time.perf_counter() - self._start - self._left_out
        rates = {
            "timing/steps_per_second": self._steps / seconds if self._steps else float("nan"),
            "timing/input_wait": min(1.0, max(0.0, waited - self._waited) / seconds),
            "timing/uptime": time.perf_counter() - self._birth,
            **self.beside,
        }
        self.beside = {}
        self._begin(waited=waited)
        return rates

    def _begin(self, *, waited: float) -> None:
        """Begin a window."""
        self._start = time.perf_counter()
        self._left_out = 0.0
        self._steps = 0
        self._waited = waited


def age() -> float:
    """Return the seconds since this process was started: imports, data and compilation included."""
    try:
        # The name in brackets may hold blanks; the start, in ticks since boot, is the 20th after.
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return time.process_time()
    return uptime - started / os.sysconf("SC_CLK_TCK")
