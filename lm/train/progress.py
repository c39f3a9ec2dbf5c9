"""Progress of a run: a bar on a terminal or log lines elsewhere, and plots of its loss."""

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
_WINDOW = 20  # smoothing averages over a twentieth of the rows
_BEGINNING = 10  # the first tenth may lie above the plot, since losses fall fast at first


class Progress:
    """Shows steps, loss, speed and the time left.

    Args:
        step: the step at which training starts.
        steps: the last step.
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
        """Counts one step."""
        if self._bar is not None:
            self._bar.update()

    def show(self, step: int, values: Mapping[str, float]) -> None:
        """Shows the means of a log window."""
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
        """Prints one line above the bar."""
        if self._bar is not None:
            self._bar.clear()
        _print(line, self._stream)
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Closes the bar; its last state stays visible."""
        if self._bar is not None:
            self._bar.close()


def log(line: str) -> None:
    """Prints one line to standard error, while there is no bar."""
    _print(line, sys.stderr)


def _print(line: str, stream: TextIO) -> None:
    """Prints a line; drops it if the terminal is gone."""
    try:
        print(line, file=stream, flush=True)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        # A closed terminal also sends SIGHUP, after which the state must still be saved: neither
        # later lines nor the flush at exit may fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def short(number: float) -> str:
    """Returns a number with three digits and a unit.

    Example:
        >>> short(1234.5), short(12.3), short(4.5e6)
        ('1.23k', '12.3', '4.5M')
    """
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def duration(seconds: float) -> str:
    """Returns a time as hours and minutes, or minutes and seconds.

    Example:
        >>> duration(61), duration(7260)
        ('1m01s', '2h01m')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours}h{minutes_left:02}m" if hours else f"{minutes}m{rest:02}s"


def plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plots the training loss, raw and smoothed, and every task's validation loss as a PNG file.

    Args:
        rows: those of metrics.jsonl.
        path: the file; not written if there are no rows.
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
    """Plots the smoothed training loss of several runs over time as a PNG file.

    Args:
        runs: name -> rows of metrics.jsonl and steps per second.
        path: the file; not written if there are no rows.
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
    """Plots a metric of several runs by step; returns name, last step and last value of each line.

    Args:
        runs: name -> rows of metrics.jsonl.
        path: a PNG file; not written if no row has the metric.
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
    """Returns an empty figure and its axes."""
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
    """Returns task -> (steps, values) of the first of the names; None is the training."""
    curves: dict[str | None, tuple[list, list]] = defaultdict(lambda: ([], []))
    for row in rows:
        loss = next((row[name] for name in names if name in row), None)
        if loss is not None:
            steps, losses = curves[row.get("task")]
            steps.append(row["step"])
            losses.append(loss)
    return dict(curves)


def _draw_training(axes: Any, steps: list, losses: list) -> None:
    """Draws the training loss, raw (pale) and smoothed."""
    if not steps:
        return
    smooth = _smooth(losses)
    axes.plot(steps, losses, color=_TRAIN, linewidth=1)
    axes.plot(steps, smooth, color="#3182bd", linewidth=1.5, label=f"training {smooth[-1]:.3f}")


def _smooth(losses: Sequence[float]) -> list[float]:
    """Returns the running means over a twentieth of the values."""
    window = len(losses) // _WINDOW + 1
    parts = [losses[max(0, i + 1 - window) : i + 1] for i in range(len(losses))]
    return [sum(part) / len(part) for part in parts]
