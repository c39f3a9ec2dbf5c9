"""Plots of predictions: a confusion matrix, and vectors in two dimensions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lm import disk
from lm.data.evaluation.label_metrics import Confusion

_MAX_CELLS = 20  # with more labels, names and numbers are illegible
_DARK = 0.5


def plot_confusion(found: Confusion, path: Path) -> None:
    """Writes a confusion matrix as a PNG file: counts, shaded by their fraction of the row.

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


def principal_components(vectors: np.ndarray, count: int = 2) -> np.ndarray:
    """Returns vectors [N, D] projected on their directions of largest variance, [N, count].

    The sign is chosen so that the largest coordinate is positive.
    """
    centred = vectors - vectors.mean(axis=0)
    found = centred @ np.linalg.svd(centred, full_matrices=False)[2][:count].T
    largest = np.abs(found).argmax(axis=0)
    return found * np.sign(found[largest, np.arange(found.shape[1])])


def plot_projection(vectors: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Writes a picture of vectors in two dimensions with their names."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout="constrained")
    axes = figure.subplots()
    points = principal_components(vectors)
    axes.scatter(points[:, 0], points[:, 1], s=8)
    for name, point in zip(names, points, strict=True):
        axes.annotate(name, point, fontsize=7)
    with disk.writing(path, "the picture"):
        figure.savefig(path)


def write_projector(vectors: np.ndarray, names: Sequence[str], folder: Path) -> None:
    """Writes vectors.tsv, names.tsv and the configuration for `tensorboard --logdir`."""
    texts = {
        "vectors.tsv": "".join("\t".join(map(str, row)) + "\n" for row in vectors),
        "names.tsv": "".join(" ".join(name.split()) + "\n" for name in names),
        "projector_config.pbtxt": "embeddings {\n"
        '  tensor_path: "vectors.tsv"\n  metadata_path: "names.tsv"\n}\n',
    }
    with disk.writing(folder, "the vectors"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            disk.replace(folder / name, text.encode(), what="the vectors")
