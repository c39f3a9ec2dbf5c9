"""`lm compare`: train several gin files for the same time and print their metrics side by side."""

import argparse
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm.cli import flags, output
from lm.errors import ConfigError

if TYPE_CHECKING:
    from lm.experiments.equal_time import Row

HELP = "train several gin files for the same time and compare them"
EXAMPLE = """examples:
  lm compare papers/comparison --workdir=runs/comparison
  lm compare papers/comparison --gin_file=papers/comparison/setting/thirty_minutes.gin \\
      --workdir=runs/comparison_30
  lm compare papers/multi30k/mobile_transformer.gin papers/multi30k/mobile_evolved.gin \\
      --seconds=600 --seeds=2 --workdir=runs/mobile

Each row is a gin file that defines TRAIN_SECONDS and may define SEEDS (default 1); --seconds and
--seeds override them. A folder stands for all gin files in it. Files given by --gin_file are read
after each row's own. The same command continues: finished runs are skipped, an interrupted one is
resumed. The speed of every row is measured first, to turn seconds into steps: keep the machine idle
until the first row trains."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the verb."""
    parser.add_argument(
        "rows", nargs="+", metavar="ROW", help="a gin file to compare, or a folder of them"
    )
    seconds, seeds = flags.above_zero(float), flags.above_zero(int)
    parser.add_argument(
        "--seconds", type=seconds, help="training time of each row (default: its TRAIN_SECONDS)"
    )
    parser.add_argument(
        "--seeds",
        type=seeds,
        help="runs of each row, with different seeds (default: its SEEDS, else 1)",
    )
    flags.add_gin(parser)
    flags.add_workdir(parser)
    output.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Trains, then prints one line for each row."""
    files = [file for name in args.rows for file in _files(name, flags.search_paths(args))]
    parameters, rows = {}, []
    for file in files:
        row, count = _row(file, args)
        parameters[row.name] = count
        rows.append(row)

    from lm.experiments.equal_time import PICTURE, compare

    found = compare(rows, Path(args.workdir))
    found = [{"name": f["name"], "parameters": parameters[f["name"]], **f} for f in found]
    if args.json:
        output.print_json(found)
    else:
        tasks = sorted({task for metrics in found for task in metrics["bits_per_byte"]})
        headers = ["row", "parameters", "steps", "seconds", "tokens/s", *tasks]
        print("Bits per byte of held-out text; several seeds: mean (lowest to highest).")
        output.print_table(headers, [_cells(metrics, tasks) for metrics in found])
        print(f"training losses by time: {Path(args.workdir) / PICTURE}")
    return 0


def _files(name: str, search_paths: list[str]) -> list[str]:
    """Returns the gin file that an argument names, or those of a folder."""
    from lm.resources import gin_folder

    for base in (*map(Path, search_paths), Path(), gin_folder()):
        if (base / name).is_dir():
            files = sorted(map(str, (base / name).glob("*.gin")))
            if files:
                return files
    return [name]


def _row(file: str, args: argparse.Namespace) -> "tuple[Row, int]":
    """Returns the row of a gin file and the number of parameters of its model.

    Raises:
        ConfigError: it has no TRAIN_SECONDS.
    """
    from lm import config
    from lm.experiments.equal_time import Row
    from lm.summary import summarise

    searched, modules = flags.search_paths(args), flags.modules(args)
    given = [file, *args.gin_file]
    loaded = config.load(
        given, args.gin_bindings, searched, modules, roots=["lm.train.train", "MODEL"]
    )
    seconds = args.seconds or loaded.get("TRAIN_SECONDS")
    if not seconds:
        raise ConfigError(f"{file}: TRAIN_SECONDS is not defined; give --seconds=300")
    seeds = args.seeds or loaded.get("SEEDS", 1)
    train_flags = [f"--gin_file={file}", *flags.words(args)]
    row = Row(Path(file).stem, tuple(train_flags), float(seconds), seeds)
    length = max(loaded.value("TASK_FEATURE_LENGTHS").values())
    return row, summarise(loaded.value("MODEL"), length=length).parameters


def _cells(metrics: dict[str, Any], tasks: list[str]) -> list[str]:
    """Returns one line of the table."""
    return [
        metrics["name"],
        f"{metrics['parameters']:,}",
        f"{metrics['steps']:,}",
        f"{metrics['seconds']:g}",
        f"{metrics['tokens_per_second']:,.0f}",
        *(_spread(metrics["bits_per_byte"].get(task, [])) for task in tasks),
    ]


def _spread(values: list[float]) -> str:
    """Returns the mean, and of several values the range.

    Example:
        >>> _spread([2.5]), _spread([1.0, 2.0])
        ('2.500', '1.500 (1.000 to 2.000)')
    """
    if not values:
        return "-"
    mean = f"{statistics.fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"
