"""What a run shows: a bar on a terminal, a line per log step elsewhere, pictures of its loss."""

import errno
import math
import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, TextIO

import tqdm

_TRAIN, _EVALUATIONS = "#9ecae1", ("#e6550d", "#31a354", "#756bb1", "#636363")
_WINDOW = 20  # the smoothed line averages a twentieth of the rows
_BEGINNING = 10  # a tenth of the time is above the picture: losses fall fast at first


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


def plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the training loss, smoothed too, and every task's validation loss into a PNG file.

    Args:
        rows: those of metrics.jsonl.
        path: the file; nothing is drawn without rows.
    """
    curves = _curves(rows)
    if not curves:
        return
    figure, axes = _empty("step")
    _draw_training(axes, *curves.pop(None, ([], [])))
    for (task, (steps, losses)), color in zip(curves.items(), cycle(_EVALUATIONS), strict=False):
        axes.plot(steps, losses, "o-", color=color, markersize=3, label=f"{task} {losses[-1]:.3f}")
    axes.set_title(f"loss of {path.absolute().parent.name}")
    axes.legend(frameon=False)
    figure.savefig(path)


def plot_by_time(runs: Mapping[str, tuple[Sequence[Mapping[str, Any]], float]], path: Path) -> None:
    """Draw the smoothed training loss of several runs by seconds into a PNG file.

    Args:
        runs: name -> rows of metrics.jsonl and steps per second.
        path: the file; nothing is drawn without rows.
    """
    named = {name: (_curves(rows).get(None), rate) for name, (rows, rate) in runs.items()}
    lines = {name: (*curve, rate) for name, (curve, rate) in named.items() if curve}
    if not lines:
        return
    figure, axes = _empty("seconds of training")
    tops = []
    for name, (steps, losses, rate) in sorted(lines.items(), key=lambda line: -line[1][1][-1]):
        smooth = _smooth(losses)
        tops.append(smooth[len(smooth) // _BEGINNING])
        seconds = [step / rate for step in steps]
        axes.plot(seconds, smooth, linewidth=1.3, label=f"{name} {smooth[-1]:.3f}")
    axes.set_ylim(top=max(tops))
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)


def plot_runs(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], path: Path, metric: str = "loss"
) -> list[tuple[str, int, str]]:
    """Draw a metric of several runs by step; return name, last step and last value of each line.

    Args:
        runs: name -> rows of metrics.jsonl.
        path: a PNG file; nothing is drawn where no row has the metric.
        metric: its name.
    """
    figure, axes = _empty("step")
    axes.set_ylabel(metric)
    last = []
    for name, rows in runs.items():
        for task, (steps, values) in _curves(rows, (metric,)).items():
            label = f"{name} {task}" if task else name
            shown = values if task else _smooth(values)
            axes.plot(steps, shown, "o-" if task else "-", markersize=3, linewidth=1.3, label=label)
            last.append((label, steps[-1], f"{values[-1]:.4f}"))
    if last:
        axes.set_title(f"{metric} of {', '.join(Path(name).name for name in runs)}", wrap=True)
        axes.legend(frameon=False, fontsize=8)
        figure.savefig(path)
    return last


def _empty(x: str) -> tuple[Any, Any]:
    """Return a figure and its axes."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator

    figure = Figure(figsize=(7, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_ylabel("cross entropy (nats per token)")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _curves(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str] = ("cross_entropy", "loss")
) -> dict[str | None, tuple[list, list]]:
    """Return task -> (steps, values) of the first of the names; None is the training."""
    curves: dict[str | None, tuple[list, list]] = defaultdict(lambda: ([], []))
    for row in rows:
        loss = next((row[name] for name in names if name in row), None)
        if loss is not None:
            steps, losses = curves[row.get("task")]
            steps.append(row["step"])
            losses.append(loss)
    return dict(curves)


def _draw_training(axes: Any, steps: list, losses: list) -> None:
    """Draw the training loss as it is, pale, and smoothed."""
    if not steps:
        return
    smooth = _smooth(losses)
    axes.plot(steps, losses, color=_TRAIN, linewidth=1)
    axes.plot(steps, smooth, color="#3182bd", linewidth=1.5, label=f"training {smooth[-1]:.3f}")


def _smooth(losses: Sequence[float]) -> list[float]:
    """Return the mean of each value and those before it, a twentieth of all."""
    window = len(losses) // _WINDOW + 1
    parts = [losses[max(0, i + 1 - window) : i + 1] for i in range(len(losses))]
    return [sum(part) / len(part) for part in parts]
