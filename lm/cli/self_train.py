"""`lm self-train`: self-training of a classifier on unlabelled texts."""

import argparse
from pathlib import Path

from lm.cli import flags, output
from lm.errors import ConfigError

HELP = "train a classifier on its own predictions for unlabelled texts, in rounds"
EXAMPLE = """examples:
  lm self-train --gin_file=papers/strata/imdb.gin --unlabelled=reviews.txt --workdir=runs/strata
  lm self-train --gin_file=papers/strata/imdb.gin --gin_file=mine.gin --unlabelled=texts.jsonl \\
      --rounds=5 --workdir=runs/mine --json

Each round runs `lm train`, with the macro PREDICTIONS of data/self_training.gin bound to the
predictions of the previous round, then `lm predict` with the best checkpoint. The texts are a file
as for `lm predict`. The same command continues: finished rounds are skipped, an interrupted one is
resumed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the verb."""
    parser.add_argument("--unlabelled", required=True, metavar="FILE", help="texts to label")
    count = flags.above_zero(int)
    parser.add_argument(
        "--rounds", type=count, default=10, help="maximum number of rounds (default: 10)"
    )
    parser.add_argument(
        "--patience",
        type=count,
        default=3,
        help="rounds without a better validation metric after which to stop (default: 3)",
    )
    flags.add_gin(parser)
    flags.add_workdir(parser)
    output.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Trains, then prints one line for each round."""
    config = flags.load(args, roots=["lm.train.train"])

    from lm.experiments.self_training import MACRO, self_train

    if not config.has(MACRO):
        raise ConfigError(f"the gin files define no {MACRO}; include data/self_training.gin")
    if not Path(args.unlabelled).is_file():
        raise ConfigError(f"--unlabelled={args.unlabelled}: no such file")
    found = self_train(
        flags=flags.words(args),
        unlabelled=args.unlabelled,
        rounds=args.rounds,
        patience=args.patience,
        workdir=Path(args.workdir),
    )
    if args.json:
        output.print_json(found)
        return 0
    headers = list(found[0])
    cells = [[x if isinstance(x, int) else f"{x:.4f}" for x in row.values()] for row in found]
    output.print_table(headers, cells)
    return 0
