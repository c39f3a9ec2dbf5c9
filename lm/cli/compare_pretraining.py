"""`lm compare-pretraining`: pre-train with equal compute and compare after fine-tuning."""

import argparse
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from lm.cli import flags, output

if TYPE_CHECKING:
    from lm.experiments.equal_compute import Row

HELP = "compare pre-training methods at equal compute, after fine-tuning"
EXAMPLE = r"""examples:
  lm compare-pretraining --workdir=runs/pretraining
  lm compare-pretraining --workdir=runs/small --flops=5e12 --tasks=sst2,trec --seeds=2 \
      --gin_file=papers/pretraining/setting/two_layers.gin

Each row is a gin file for pre-training; the file of the same name in the folder `labels` beside it
is for fine-tuning. The row `none` fine-tunes the first row's encoder from random weights. Scores
are the tasks' own metrics on the validation split: mean and standard deviation over the seeds. The
same command continues: finished runs are skipped, an interrupted one is resumed."""

ROWS = [f"papers/pretraining/{row}.gin" for row in ("mlm", "xlnet", "electra", "funnel_electra")]
TASKS = "sst2,cola,rte,trec,imdb"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the verb."""
    parser.add_argument(
        "--rows", nargs="+", default=ROWS, metavar="FILE", help="gin files for pre-training"
    )
    parser.add_argument(
        "--tasks", default=TASKS, metavar="A,B", help=f"tasks to fine-tune on (default: {TASKS})"
    )
    parser.add_argument(
        "--seeds",
        type=flags.above_zero(int),
        default=3,
        help="fine-tuning runs per task (default: 3)",
    )
    parser.add_argument(
        "--flops",
        type=flags.above_zero(float),
        default=5e13,
        help="floating-point operations of each pre-training (default: 5e13)",
    )
    flags.add_gin(parser)
    flags.add_workdir(parser)
    output.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Trains, then prints one line for each row."""
    from lm.experiments.equal_compute import compare

    tasks = flags.split(args.tasks)
    rows = [_row(file, args) for file in args.rows]
    untrained = rows[0]._replace(name="none", steps=0, pretraining=())
    found = compare([untrained, *rows], tasks, args.seeds, Path(args.workdir))
    if args.json:
        output.print_json(found)
        return 0
    lines = [
        [row["name"], f"{row['steps']:,}", *(_cell(row["scores"][task]) for task in tasks)]
        for row in found
    ]
    output.print_table(["row", "steps", *tasks], lines)
    return 0


def _row(file: str, args: argparse.Namespace) -> "Row":
    """Returns the row of a gin file; counts its steps if that has not been done."""
    from lm.experiments.equal_compute import Row, planned

    path, more = Path(file), flags.words(args)
    plan = Path(args.workdir) / path.stem / "steps.json"
    steps = planned(plan, args.flops, lambda: _step_flops(file, args))
    labels = path.parent / "labels" / path.name
    return Row(path.stem, steps, (f"--gin_file={path}", *more), (f"--gin_file={labels}", *more))


def _step_flops(file: str, args: argparse.Namespace) -> int:
    """Returns the operations of a training step of a gin file."""
    from lm import config
    from lm.experiments.equal_compute import step_flops

    loaded = config.load(
        [file, *args.gin_file],
        args.gin_bindings,
        flags.search_paths(args),
        flags.modules(args),
        roots=["OBJECTIVE", "TRAIN_DATA"],
    )
    return step_flops(loaded.value("OBJECTIVE"), loaded.value("TRAIN_DATA")().features)


def _cell(scores: list[float]) -> str:
    """Returns mean and deviation, as in `83.10 ± 0.42`; of one seed the score alone."""
    mean = f"{statistics.fmean(scores):.2f}"
    return mean if len(scores) == 1 else f"{mean} ± {statistics.stdev(scores):.2f}"
