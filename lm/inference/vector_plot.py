"""A picture of vectors of texts in the plane of their two principal components."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

_LONGEST = 40  # characters of a text beside its point


def plot_vectors(points: np.ndarray, texts: Sequence[str], path: Path) -> None:
    """Draw a point and its text for each of [N, 2] into a PNG file.

    Args:
        points: of `lm.inference.vectors.plane`.
        texts: beside the points.
        path: the file.

    Source: Sutskever et al. 2014 (https://arxiv.org/abs/1409.3215), figure 2.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(points[:, 0], points[:, 1], s=14, color="#31a354")
    for (x, y), text in zip(points, texts, strict=True):
        short = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
        axes.annotate(short, (x, y), xytext=(4, 2), textcoords="offset points", fontsize=7)
    axes.set_xlabel("first component")
    axes.set_ylabel("second component")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
