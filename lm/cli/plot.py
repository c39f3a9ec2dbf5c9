"""`lm plot`: plots a metric of several runs."""

import argparse
from pathlib import Path

from lm.cli import output
from lm.errors import ConfigError

HELP = "plot a metric of several runs"
EXAMPLE = """examples:
  lm plot runs/a runs/b
  lm plot runs/* --metric=bits_per_byte --output=bits.png

A metric is a name in metrics.jsonl. Training is drawn as a line, smoothed over a twentieth of the
rows; evaluations of a task are marked by dots."""

_METRICS = "metrics.jsonl"
_KEYS = {"step", "split", "task"}  # of a row, besides its metrics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the verb."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder")
    parser.add_argument(
        "--metric", default="loss", help="metric to plot, as metrics.jsonl names it (default: loss)"
    )
    parser.add_argument(
        "--output", default="runs.png", metavar="FILE", help="picture to write (default: runs.png)"
    )


def run(args: argparse.Namespace) -> int:
    """Draws the picture and prints the last value of each line."""
    files = {name: Path(name) / _METRICS for name in args.runs}
    if missing := [name for name, file in files.items() if not file.is_file()]:
        raise ConfigError(f"{missing[0]} is not a run folder: it has no {_METRICS}")

    from lm.train.progress import plot_runs
    from lm.train.reporter import rows

    runs = {name: rows(file) for name, file in files.items()}
    if empty := [files[name] for name, found in runs.items() if not found]:
        raise ConfigError(f"{empty[0]} has no row that can be read")
    last = plot_runs(runs, Path(args.output), args.metric)
    if not last:
        known = sorted({key for found in runs.values() for row in found for key in row} - _KEYS)
        raise ConfigError(
            f"--metric={args.metric}: these runs have no such metric, but {', '.join(known)}"
        )
    output.print_table(["", "step", args.metric], last)
    print(args.output)
    return 0
