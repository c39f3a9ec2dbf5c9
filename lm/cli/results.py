"""`lm results`: compares zero-shot results of two runs, and scores raters' sheets."""

import argparse
from typing import TYPE_CHECKING

from lm.cli import output
from lm.errors import ConfigError

if TYPE_CHECKING:
    from lm.inference.zero_shot.comparison import Compared

HELP = "compare the zero-shot results of two runs, or score raters' sheets"
EXAMPLE = """examples:
  lm results compare runs/a runs/b
  lm results ssa rater_1.tsv rater_2.tsv rater_3.tsv

compare takes two run folders, or files zero_shot/results.jsonl. Results whose signatures differ in
more than the checkpoint are refused. If both runs have samples (`lm eval --suite --log_samples`), a
paired test of means over the same questions is added; perplexities, BLEU and chrF have none.

ssa takes copies of the sheet of `lm chat --input --sheet` filled in by raters: 1 or 0 for whether
an answer is sensible, and whether it is specific."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the action and its files."""
    parser.add_argument(
        "action", choices=["compare", "ssa"], help="compare two runs, or compute SSA"
    )
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="two run folders, or raters' sheets"
    )
    parser.add_argument(
        "--allow",
        default="",
        metavar="X,Y",
        help="parts of the signatures that may differ, comma-separated",
    )
    output.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Prints one line for each metric."""
    if args.action == "ssa":
        return _ssa(args)
    if len(args.paths) != 2:  # noqa: PLR2004
        raise ConfigError("lm results compare takes two runs")
    from lm.inference.zero_shot.comparison import compare

    allowed = [name for name in args.allow.split(",") if name]
    found = compare(*args.paths, allow=allowed)
    if args.json:
        output.print_json([_record(one) for one in found])
        return 0
    headers = ["set", "metric", "A", "B", "B - A", "p"]
    output.print_table(headers, [_cells(one) for one in found])
    if any(one.lacks_samples for one in found):
        print("For a test of B - A, evaluate both runs with --log_samples.")
    return 0


def _ssa(args: argparse.Namespace) -> int:
    """Prints sensibleness, specificity and their mean."""
    from lm.data.evaluation import ssa

    found = ssa.score(args.paths)
    if args.json:
        output.print_json(found)
    else:
        rows = [[name, f"{value:.2f}"] for name, value in found.items()]
        output.print_table(["metric", "%"], rows)
    return 0


def _record(one: "Compared") -> dict[str, object]:
    difference = one.difference and one.difference._asdict()
    return {**one._asdict(), "difference": difference}


def _cells(one: "Compared") -> list[str]:
    values = [f"{side['value']:.4f} ± {side['standard_error']:.4f}" for side in (one.a, one.b)]
    if one.difference is None:
        return [one.task, one.metric, *values, "-", "-"]
    value, error, p_value = one.difference
    return [one.task, one.metric, *values, f"{value:+.4f} ± {error:.4f}", f"{p_value:.4f}"]
