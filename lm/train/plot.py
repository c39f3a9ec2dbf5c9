"""Pictures: the loss of a run by step, and of several runs by time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

_TRAIN, _EVALUATIONS = "#9ecae1", ("#e6550d", "#31a354", "#756bb1", "#636363")
_WINDOW = 20  # the smoothed line averages a twentieth of the rows
_BEGINNING = 10  # a tenth of the time is above the picture: losses fall fast at first


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


def _empty(x: str) -> tuple[Any, Any]:
    """Return a figure and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel("cross entropy (nats per token)")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _curves(rows: Sequence[Mapping[str, Any]]) -> dict[str | None, tuple[list, list]]:
    """Return task -> (steps, losses); None is the training loss."""
    curves: dict[str | None, tuple[list, list]] = defaultdict(lambda: ([], []))
    for row in rows:
        loss = row.get("cross_entropy", row.get("loss"))
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
