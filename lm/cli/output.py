"""How verbs print results: a table for people, `--json` for machines, into a file if asked for."""

import argparse
import contextlib
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the flag that asks for JSON."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


@contextlib.contextmanager
def opened(path: str | None) -> Iterator[IO[str]]:
    """Give the file to write to, or standard output."""
    if path is None:
        yield sys.stdout
        return
    with Path(path).open("w", encoding="utf-8") as file:
        yield file


class _Warnings(logging.Handler):
    """Prints a warning as a line on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print it."""
        print(f"lm: warning: {record.getMessage()}", file=sys.stderr)


def show_warnings() -> None:
    """Print what the package warns of, such as rows that are cut or left out."""
    package = logging.getLogger("lm")
    if not any(isinstance(handler, _Warnings) for handler in package.handlers):
        package.addHandler(_Warnings(logging.WARNING))


def print_json(value: Any) -> None:
    """Print one JSON value."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headers in aligned columns.

    Example:
        >>> print_table(["name", "size"], [["tiny", 1], ["base", 12]])
        name  size
        tiny  1
        base  12
    """
    lines = [list(map(str, headers)), *(list(map(str, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip())
