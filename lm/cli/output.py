"""How verbs print results: as a table, as JSON (`--json`) or as an HTML page."""

import argparse
import contextlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import IO, Any

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem; color: #222; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem; border-top: 1px solid #ddd; }
td { white-space: pre-wrap; max-width: 46rem; }
th { position: sticky; top: 0; background: #fff; }
"""


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that asks for JSON."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


@contextlib.contextmanager
def opened(path: str | None) -> Iterator[IO[str]]:
    """Opens the file to write to, or gives standard output."""
    if path is None:
        yield sys.stdout
        return
    with Path(path).open("w", encoding="utf-8") as file:
        yield file


class _Warnings(logging.Handler):
    """Prints a warning as a line on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints it."""
        print(f"lm: warning: {record.getMessage()}", file=sys.stderr)


def show_warnings() -> None:
    """Prints the package's warnings, such as rows that are truncated or left out."""
    package = logging.getLogger("lm")
    if not any(isinstance(handler, _Warnings) for handler in package.handlers):
        package.addHandler(_Warnings(logging.WARNING))


def print_json(value: Any) -> None:
    """Prints one JSON value."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints rows under headers in aligned columns.

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


def html_page(title: str, rows: Sequence[Mapping[str, str]]) -> str:
    """Returns a table as one HTML page without scripts or other files; cells keep line breaks.

    Example:
        >>> text = html_page("words", [{"word": "a<b"}])
        >>> "<td>a&lt;b</td>" in text, "<th>word</th>" in text
        (True, True)
    """
    names = list(rows[0]) if rows else []
    head = _row("th", names)
    body = "\n".join(_row("td", [row[name] for name in names]) for row in rows)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n<h1>{escape(title)}: {len(rows):,}</h1>\n"
        f"<table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</html>\n"
    )


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
