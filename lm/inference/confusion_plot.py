"""A picture of the labels that a model takes for others."""

from pathlib import Path

import numpy as np

from lm.data.evaluation.label_metrics import Confusion

_MAX_CELLS = 20  # with more labels, neither names nor numbers can be read
_DARK = 0.5


def plot_confusion(found: Confusion, path: Path) -> None:
    """Draw a matrix into a PNG file: a row for each label, in shades of its share, and the counts.

    Args:
        found: the counts.
        path: the file.
    """
    from matplotlib.figure import Figure

    count = len(found.names)
    size = 2.4 + 0.5 * min(count, _MAX_CELLS)
    figure = Figure(figsize=(size + 0.8, size), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    shares = found.counts / found.counts.sum(1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted label")
    axes.set_ylabel("right label")
    axes.spines[:].set_visible(False)
    if count <= _MAX_CELLS:
        axes.set_xticks(range(count), found.names, rotation=45, ha="right")
        axes.set_yticks(range(count), found.names)
        for (row, column), number in np.ndenumerate(found.counts):
            color = "white" if shares[row, column] > _DARK else "black"
            axes.text(column, row, number, ha="center", va="center", color=color, fontsize=8)
    figure.savefig(path)
