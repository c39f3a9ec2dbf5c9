"""The picture of a run: its loss by step."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

_TRAIN, _EVALUATIONS = "#9ecae1", ("#e6550d", "#31a354", "#756bb1", "#636363")
_WINDOW = 20  # the smoothed line averages a twentieth of the rows


def plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the training loss, smoothed too, and every task's validation loss into a PNG file.

    Args:
        rows: those of metrics.jsonl.
        path: the file; nothing is drawn without rows.
    """
    curves = _curves(rows)
    if not curves:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    _draw_training(axes, *curves.pop(None, ([], [])))
    for (task, (steps, losses)), color in zip(curves.items(), cycle(_EVALUATIONS), strict=False):
        axes.plot(steps, losses, "o-", color=color, markersize=3, label=f"{task} {losses[-1]:.3f}")
    axes.set_xlabel("step")
    axes.set_ylabel("cross entropy (nats per token)")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)


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
    window = len(losses) // _WINDOW + 1
    parts = [losses[max(0, i + 1 - window) : i + 1] for i in range(len(losses))]
    smooth = [sum(part) / len(part) for part in parts]
    axes.plot(steps, losses, color=_TRAIN, linewidth=1)
    axes.plot(steps, smooth, color="#3182bd", linewidth=1.5, label=f"training {smooth[-1]:.3f}")
