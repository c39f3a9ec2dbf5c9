"""`lm config`: shows, explains and compares configurations without executing anything."""

import argparse
import io
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

from lm.cli import flags, output
from lm.cli.check import refuse

if TYPE_CHECKING:
    from lm.config.scanner import Scan
    from lm.config.syntax import Binding, Origin

HELP = "show a configuration's macros, explain a name in it, or compare two"
EXAMPLE = """examples:
  lm config show --gin_file=quickstart.gin
  lm config explain NUM_HEADS --gin_file=models/gpt2/small.gin
  lm config explain decoder/stack.Stack.layers --gin_file=models/t5/base.gin
  lm config diff models/gpt2/small.gin models/gpt2/medium.gin
  lm config diff /tmp/run1 /tmp/run2 --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the actions and their flags."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="show|explain|diff")
    show = actions.add_parser("show", help="list the macros: their values and comments")
    show.add_argument("--workdir", metavar="DIR", help="run folder whose config.gin is read first")
    flags.add_gin(show)
    explain = actions.add_parser(
        "explain", help="show the value of a name, and which files bind it"
    )
    explain.add_argument(
        "name",
        metavar="NAME",
        help="TRAIN_STEPS, SelfAttention.num_heads or attention.SelfAttention",
    )
    explain.add_argument(
        "--workdir", metavar="DIR", help="run folder whose config.gin is read first"
    )
    flags.add_gin(explain)
    diff = actions.add_parser("diff", help="list the bindings whose values differ")
    diff.add_argument("first", metavar="A", help="a gin file or run folder")
    diff.add_argument("second", metavar="B", help="another of them")
    flags.add_search(diff)
    for action in (show, explain, diff):
        output.add_json(action)


def run(args: argparse.Namespace) -> int:
    """Runs the chosen action."""
    return {"show": _show, "explain": _explain, "diff": _diff}[args.action](args)


def _scanned(args: argparse.Namespace) -> "Scan":
    """Returns the scan of the flags' files; misspelt names are an error."""
    from lm.config.faults import of_names

    scanned = flags.scan(args, first=flags.run_config(args.workdir) if args.workdir else [])
    refuse(of_names(scanned))
    return scanned


def _show(args: argparse.Namespace) -> int:
    """Prints every macro with its value, the file that binds it and the comment there."""
    from lm.config import macros, syntax

    table = macros.table(_scanned(args).bindings)
    rows = [
        {
            "macro": name,
            "value": syntax.short(macros.expanded(binding.value, table)),
            "bound in": str(binding.origin),
            "comment": _comment_at(binding.origin),
        }
        for name, binding in sorted(table.items())
    ]
    if args.json:
        output.print_json(rows)
    elif rows:
        output.print_table(list(rows[0]), [list(row.values()) for row in rows])
    else:
        print("no macro")
    return 0


def _comment_at(origin: "Origin") -> str:
    """Returns the comment at the end of a statement's line, which gin drops; empty for a flag."""
    path = Path(origin.label)
    if not origin.line or not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8").splitlines()
    return _comment(lines[origin.line - 1]) if origin.line <= len(lines) else ""


def _comment(line: str) -> str:
    """Returns the comment of a line; empty if the line is only a part of a statement.

    Example:
        >>> _comment("NAME = '#1'  # the first")
        'the first'
    """
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(line).readline))
    except (tokenize.TokenError, IndentationError):
        return ""
    found = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return found[0].lstrip("# ") if found else ""


def _explain(args: argparse.Namespace) -> int:
    """Prints the value of a name, with the file and line that bind it."""
    from lm.config.describe import explain

    found = explain(args.name, _scanned(args).bindings)
    if args.json:
        output.print_json([explanation.record() for explanation in found])
    else:
        print("\n".join(line for explanation in found for line in explanation.lines()))
    return 0


def _bindings(source: str, args: argparse.Namespace) -> "list[Binding]":
    """Returns the bindings of a gin file or a run folder."""
    from lm.config.scanner import scan

    files = flags.run_config(source) if Path(source).is_dir() else [source]
    found = scan(files, search_paths=flags.search_paths(args), modules=flags.modules(args))
    return found.bindings


def _diff(args: argparse.Namespace) -> int:
    """Prints the bindings that differ."""
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
