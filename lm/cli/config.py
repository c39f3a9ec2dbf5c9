"""`lm config`: explains a name in a configuration or compares two; executes nothing."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lm.cli import flags, output

if TYPE_CHECKING:
    from lm.config.syntax import Binding

HELP = "explain a name in a configuration, or compare two"
EXAMPLE = """examples:
  lm config explain NUM_HEADS --gin_file=models/gpt2/small.gin
  lm config explain decoder/stack.Stack.layers --gin_file=models/t5/base.gin
  lm config diff models/gpt2/small.gin models/gpt2/medium.gin
  lm config diff /tmp/run1 /tmp/run2 --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two actions and their flags."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="explain|diff")
    explain = actions.add_parser("explain", help="value of a name, and what binds it")
    explain.add_argument("name", metavar="NAME", help="macro, parameter or configurable")
    explain.add_argument("--workdir", metavar="DIR", help="run folder, read before the gin files")
    flags.add_gin(explain)
    diff = actions.add_parser("diff", help="bindings with different values")
    diff.add_argument("first", metavar="A", help="gin file or run folder")
    diff.add_argument("second", metavar="B", help="gin file or run folder")
    flags.add_search(diff)
    for action in (explain, diff):
        output.add_json(action)


def run(args: argparse.Namespace) -> int:
    """Run the chosen action."""
    return {"explain": _explain, "diff": _diff}[args.action](args)


def _explain(args: argparse.Namespace) -> int:
    """Print the value of a name, with the file and line that bind it."""
    from lm.config.describe import explain

    first = flags.run_config(args.workdir) if args.workdir else []
    found = explain(args.name, flags.scan(args, first=first).bindings)
    if args.json:
        output.print_json([explanation.record() for explanation in found])
    else:
        print("\n".join(line for explanation in found for line in explanation.lines()))
    return 0


def _bindings(source: str, args: argparse.Namespace) -> "list[Binding]":
    """Return the bindings of a gin file or a run folder."""
    from lm.config.scanner import scan

    files = flags.run_config(source) if Path(source).is_dir() else [source]
    found = scan(files, search_paths=flags.search_paths(args), modules=flags.modules(args))
    return found.bindings


def _diff(args: argparse.Namespace) -> int:
    """Print the bindings that differ."""
    from lm.config.describe import diff

    first, second = (_bindings(source, args) for source in (args.first, args.second))
    found = diff(first, second)
    if args.json:
        output.print_json([pair._asdict() for pair in found])
    elif found:
        output.print_table(["binding", args.first, args.second], found)
    else:
        print("no difference")
    return 0
