"""Progress on the screen: a bar on a terminal, one line per log step elsewhere."""

import errno
import math
import os
import sys
from collections.abc import Mapping
from typing import TextIO

import tqdm


class Progress:
    """Shows steps, loss, speed and the time left.

    Args:
        step: where training starts or goes on.
        steps: where it ends.
        stream: where to write; standard error by default.
    """

    def __init__(self, *, step: int, steps: int, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._steps = steps
        self._bar = None
        if self._stream.isatty():
            self._bar = tqdm.tqdm(
                total=steps, initial=step, unit="step", file=self._stream, dynamic_ncols=True
            )

    def advance(self) -> None:
        """Count one step."""
        if self._bar is not None:
            self._bar.update()

    def show(self, step: int, values: Mapping[str, float]) -> None:
        """Show the means of a log window."""
        shown = f"loss {values['loss']:.4f}"
        if "accuracy" in values:
            shown += f", accuracy {values['accuracy']:.3f}"
        speed = values["timing/target_tokens_per_second"]
        if math.isfinite(speed):
            shown += f", {short(speed)} tokens/s"
        if values["skipped"]:
            shown += f", {values['skipped']:.0f} skipped"
        if self._bar is not None:
            self._bar.set_postfix_str(shown)
            return
        if math.isfinite(speed):
            left = (self._steps - step) / values["timing/steps_per_second"]
            wait = f"{values['timing/input_wait']:.0%} waiting for data"
            shown += f", {wait}, {duration(left)} left"
        self.log(f"step {step}/{self._steps}: {shown}")

    def log(self, line: str) -> None:
        """Print one line above the bar."""
        if self._bar is not None:
            self._bar.clear()
        _print(line, self._stream)
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Leave the last state of the bar standing."""
        if self._bar is not None:
            self._bar.close()


def log(line: str) -> None:
    """Print one line where there is no bar yet."""
    _print(line, sys.stderr)


def _print(line: str, stream: TextIO) -> None:
    """Print a line; what a terminal that is gone would have shown is dropped."""
    try:
        print(line, file=stream, flush=True)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        # A closed terminal also sends SIGHUP, and the state is to be saved: neither later lines
        # nor the flush at exit may fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def short(number: float) -> str:
    """Return a number in three digits and a unit.

    Example:
        >>> short(1234.5), short(12.3), short(4.5e6)
        ('1.23k', '12.3', '4.5M')
    """
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def duration(seconds: float) -> str:
    """Return a time as hours and minutes, or minutes and seconds.

    Example:
        >>> duration(61), duration(7260)
        ('1m01s', '2h01m')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours}h{minutes_left:02}m" if hours else f"{minutes}m{rest:02}s"
