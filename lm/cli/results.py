"""`lm results`: the results of runs on question sets, side by side."""

import argparse
from typing import TYPE_CHECKING

from lm.cli import output

if TYPE_CHECKING:
    from lm.inference.zero_shot.comparison import Compared

HELP = "compare the zero-shot results of two runs"
EXAMPLE = """example:
  lm results compare runs/a runs/b

A and B are run folders, or files zero_shot/results.jsonl. Results whose signatures differ in more
than the checkpoint are refused. With the samples of both (`lm eval --suite --log_samples`) the
difference is tested on the same questions."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action and the two runs."""
    parser.add_argument("action", choices=["compare"], help="what to do")
    parser.add_argument("a", metavar="A", help="run folder or file of results")
    parser.add_argument("b", metavar="B", help="another run folder or file")
    parser.add_argument(
        "--allow", default="", metavar="X,Y", help="parts of the signatures that may differ"
    )
    output.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print one line for each metric."""
    from lm.inference.zero_shot.comparison import compare

    allowed = [name for name in args.allow.split(",") if name]
    found = compare(args.a, args.b, allow=allowed)
    if args.json:
        output.print_json([_record(one) for one in found])
        return 0
    headers = ["set", "metric", "A", "B", "B - A", "p"]
    output.print_table(headers, [_cells(one) for one in found])
    if any(one.difference is None for one in found):
        print("B - A is tested where `--log_samples` kept the questions of both.")
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
