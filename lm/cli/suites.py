"""`lm eval --suite`: metrics of question sets with their standard errors."""

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lm.cli import flags, output, run_flags

if TYPE_CHECKING:
    from lm.inference.zero_shot.suite import SetResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a zero-shot evaluation."""
    parser.add_argument(
        "--suite",
        metavar="NAME",
        help="suite of zero-shot questions to evaluate on instead of a task (`lm list suites`)",
    )
    parser.add_argument(
        "--shots", type=int, metavar="K", help="solved questions before each question (default: 0)"
    )
    parser.add_argument(
        "--limit",
        type=flags.above_zero(int),
        metavar="N",
        help="ask only the first N questions of each set",
    )
    parser.add_argument(
        "--log_samples", action="store_true", help="write every question with all its scores"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluates, writes and prints."""
    from lm.inference.zero_shot.suite import write_result

    loaded = run_flags.load(args)
    given = {"shots": args.shots, "limit": args.limit}
    settings = {name: value for name, value in given.items() if value is not None}
    results = []
    for one in loaded.evaluate_suite(args.suite, **settings):
        path = write_result(one, loaded.workdir, samples=args.log_samples)
        results.append(one)
        print(f"{one.task}: {one.num_questions} questions", file=sys.stderr)
    if args.json:
        output.print_json([one.row() for one in results])
    else:
        show(results)
        print(f"signatures: {path}")
    return 0


def show(results: Sequence["SetResult"]) -> None:
    """Prints each metric of each set, and the means over the sets of a group."""
    headers = ["set", "questions", "metric", "value", "± error", "95% interval"]
    output.print_table(
        headers,
        [_cells(one, name) for one in results for name in one.metrics],
    )
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in results:
        for name, metric in one.metrics.items() if one.group else ():
            groups[one.group, name].append(metric.value)
    if groups:
        print()
        rows = [
            [group, len(values), name, f"{statistics.fmean(values):.4f}"]
            for (group, name), values in groups.items()
        ]
        output.print_table(["group", "wordings", "metric", "mean"], rows)


def _cells(result: "SetResult", name: str) -> list[object]:
    value, error, low, high = result.metrics[name]
    interval = f"{low:.4f} to {high:.4f}"
    return [result.task, result.num_questions, name, f"{value:.4f}", f"{error:.4f}", interval]
