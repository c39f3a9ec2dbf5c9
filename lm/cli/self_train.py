"""`lm self-train`: train, label texts, train on them too, and so on."""

import argparse
from pathlib import Path

from lm.cli import flags, output
from lm.errors import ConfigError

HELP = "train a classifier on its own labels of unlabelled texts, round by round"
EXAMPLE = """examples:
  lm self-train --gin_file=papers/strata/imdb.gin --unlabelled=reviews.txt --workdir=runs/strata
  lm self-train --gin_file=papers/strata/imdb.gin --gin_file=mine.gin --unlabelled=texts.jsonl \\
      --rounds=5 --workdir=runs/mine --json

Each round is `lm train` with PREDICTIONS, a macro of data/self_training.gin, bound to what the
round before has written, then `lm predict` with the best checkpoint. The texts are a file that
`lm predict` reads. The same command continues: finished rounds are skipped, an interrupted one is
resumed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the verb."""
    parser.add_argument("--unlabelled", required=True, metavar="FILE", help="texts to label")
    count = flags.above_zero(int)
    parser.add_argument(
        "--rounds", type=count, default=10, help="at most so many rounds (default: 10)"
    )
    parser.add_argument(
        "--patience",
        type=count,
        default=3,
        help="stop after so many rounds without a better validation metric (default: 3)",
    )
    flags.add_gin(parser)
    flags.add_workdir(parser)
    output.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Train, then print one line for each round."""
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
