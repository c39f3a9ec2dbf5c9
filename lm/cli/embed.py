"""`lm embed`: a vector for each text of a file."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lm.cli import flags, output, run_flags
from lm.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

HELP = "embed texts as vectors with a trained model"
EXAMPLE = """examples:
  lm embed --workdir=/tmp/run --input=reviews.txt --output=vectors.npy
  lm embed --workdir=/tmp/run --input=reviews.jsonl > vectors.jsonl
  lm embed --workdir=/tmp/run --input=reviews.txt --nearest="a fine film" --picture=reviews.png

Input: a .jsonl file with a field "text", or any other file with one text per line. Output: a
float32 array [texts, width] if the name ends in .npy, else JSON lines with text and vector.
Settings are those of the run's embedder (embed.embed.embedder); see gin/vectors. With --nearest,
the texts whose vectors have the largest cosine with that of TEXT are printed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's flags."""
    run_flags.add(parser)
    parser.add_argument(
        "--input", required=True, metavar="FILE", help="texts: .jsonl, or one per line"
    )
    parser.add_argument(
        "--output", metavar="FILE", help=".npy or .jsonl to write (default: stdout)"
    )
    parser.add_argument("--nearest", metavar="TEXT", help="print the texts closest to this one")
    parser.add_argument(
        "--count",
        type=flags.above_zero(int),
        default=10,
        metavar="N",
        help="number of texts that --nearest prints (default: 10)",
    )
    parser.add_argument(
        "--picture", metavar="FILE.png", help="plot all vectors by their two principal components"
    )


def run(args: argparse.Namespace) -> int:
    """Writes a vector for each text, or prints the nearest texts."""
    if args.output and Path(args.output).suffix not in (".npy", ".jsonl"):
        raise ConfigError(f"--output={args.output}: give a name ending in .npy or .jsonl")
    texts = _texts(args.input)
    loaded = run_flags.load(args)
    vectors = loaded.embed(texts)
    if args.picture:
        _draw(args.picture, texts, vectors)
    if args.nearest is not None:
        _print_nearest(texts, vectors, loaded.embed([args.nearest])[0], args.count)
        return 0
    if args.output and args.output.endswith(".npy"):
        _write_npy(args.output, vectors)
    else:
        _write_jsonl(args.output, texts, vectors)
    width = vectors.shape[-1] if len(vectors) else 0
    print(f"{len(vectors)} vectors of width {width}", file=sys.stderr)
    return 0


def _draw(path: str, texts: Sequence[str], vectors: "np.ndarray") -> None:
    """Plots the vectors by their two principal components."""
    from lm.inference.plots import plot_projection

    if len(texts) <= 1:
        raise ConfigError(f"--picture={path}: needs at least two texts, got {len(texts)}")
    plot_projection(vectors, texts, Path(path))


def _print_nearest(
    texts: Sequence[str], vectors: "np.ndarray", query: "np.ndarray", count: int
) -> None:
    """Prints the texts closest to a query, closest first."""
    from lm.inference.keyed_vectors import KeyedVectors

    found = KeyedVectors(None, vectors).most_similar(query, topn=count)
    output.print_table(
        ["cosine", "text"], [[f"{cosine:.4f}", texts[int(i)]] for i, cosine in found]
    )


def _texts(path: str) -> list[str]:
    """Returns the texts of a file; called before the model is loaded."""
    from lm.data.storage import readers

    if not readers.is_jsonl(path):
        return list(readers.read_text_lines(path))
    texts = [row["text"] for row in readers.read_jsonl(path, fields=("text",))]
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise ConfigError(f"{path}:{number}: empty text")
    return texts


def _write_npy(path: str, vectors: "np.ndarray") -> None:
    """Writes one array."""
    import numpy as np

    np.save(path, vectors)


def _write_jsonl(path: str | None, texts: Sequence[str], vectors: "np.ndarray") -> None:
    """Writes an object for each text."""
    with output.opened(path) as out:
        for text, vector in zip(texts, vectors, strict=True):
            record = {"text": text, "vector": vector.tolist()}
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
