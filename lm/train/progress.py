"""What a person sees of a run: a bar on a terminal, one line per log step elsewhere."""

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

    def log(self, step: int, values: Mapping[str, float]) -> None:
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
        self.say(f"step {step}/{self._steps}: {shown}")

    def say(self, line: str) -> None:
        """Show one line."""
        if self._bar is not None:
            self._bar.clear()
        _show(line, self._stream)
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Leave the last state of the bar standing."""
        if self._bar is not None:
            self._bar.close()


def tell(line: str) -> None:
    """Show one line where no progress is shown yet."""
    _show(line, sys.stderr)


def _show(line: str, stream: TextIO) -> None:
    """Print a line; what a terminal that is gone would have shown is dropped."""
    try:
        print(line, file=stream, flush=True)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        # SIGHUP comes with it, and the state is to be saved: later lines and the flush at the exit
        # must not fail either.
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
