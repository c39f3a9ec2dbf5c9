r"""Pre-training compared at equal compute: masked tokens, XLNet, ELECTRA, Funnel as ELECTRA, none.

    python tools/pretraining.py --workdir=runs/pretraining
    python tools/pretraining.py --workdir=runs/small --flops=5e12 --tasks=sst2,trec --seeds=2 \
        --gin.HIDDEN_DIM=128 --gin.INTERMEDIATE_DIM=512 --gin.NUM_LAYERS=2

A row is a gin file that pre-trains, with the file of its name in the folder `labels` beside it that
fine-tunes; the row `none` fine-tunes the first one's encoder from random weights. Scores are the
tasks' own metrics on the validation split: mean and standard deviation over the seeds. The same
command continues: finished runs are skipped, an interrupted one is resumed.
"""

import argparse
import statistics
import sys
from pathlib import Path

sys.path.pop(0)  # a file in tools/ has the name of a standard module

from lm import quiet
from lm.cli import flags, output

quiet.install()  # before what follows imports a framework

from lm import config  # noqa: E402
from lm.equal_compute import Row, compare, planned, step_flops  # noqa: E402

ROWS = "mlm", "xlnet", "electra", "funnel_electra"
FILES = [f"papers/pretraining/{row}.gin" for row in ROWS]


def row_of(file: str, args: argparse.Namespace) -> Row:
    """Returns the row of a gin file, its steps counted if need be."""
    path, more = Path(file), flags.words(args)
    plan = Path(args.workdir) / path.stem / "steps.json"
    steps = planned(plan, args.flops, lambda: flops_of(file, args))
    labels = path.parent / "labels" / path.name
    return Row(path.stem, steps, (f"--gin_file={path}", *more), (f"--gin_file={labels}", *more))


def flops_of(file: str, args: argparse.Namespace) -> int:
    """Returns the operations of a training step of a gin file."""
    given = [[file, *args.gin_file], args.gin_bindings, flags.search_paths(args)]
    loaded = config.load(*given, flags.modules(args), roots=["OBJECTIVE", "TRAIN_DATA"])
    return step_flops(loaded.value("OBJECTIVE"), loaded.value("TRAIN_DATA")().features)


def cell(scores: list[float]) -> str:
    """Returns mean and deviation, `83.10 ± 0.42`; of one seed the score alone."""
    mean = f"{statistics.fmean(scores):.2f}"
    return mean if len(scores) == 1 else f"{mean} ± {statistics.stdev(scores):.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", default=FILES, metavar="FILE")
    parser.add_argument("--tasks", default="sst2,cola,rte,trec,imdb")
    parser.add_argument("--seeds", type=flags.above_zero(int), default=3)
    parser.add_argument("--flops", type=flags.above_zero(float), default=5e13)
    flags.add_gin(parser)
    flags.add_workdir(parser)
    args = parser.parse_args(flags.rewritten(sys.argv[1:]))
    tasks = args.tasks.split(",")
    rows = [row_of(file, args) for file in args.rows]
    untrained = rows[0]._replace(name="none", steps=0, pretraining=())
    found = compare([untrained, *rows], tasks, args.seeds, Path(args.workdir))
    lines = [
        [row["name"], f"{row['steps']:,}", *(cell(row["scores"][task]) for task in tasks)]
        for row in found
    ]
    output.print_table(["row", "steps", *tasks], lines)
