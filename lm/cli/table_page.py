"""A table as one HTML page that needs nothing else: no script, no font, no other file."""

from collections.abc import Mapping, Sequence
from html import escape

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem; color: #222; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem; border-top: 1px solid #ddd; }
td { white-space: pre-wrap; max-width: 46rem; }
th { position: sticky; top: 0; background: #fff; }
"""


def page(title: str, rows: Sequence[Mapping[str, str]]) -> str:
    """Returns the page of a table; line breaks inside a cell are kept.

    Example:
        >>> text = page("words", [{"word": "a<b"}])
        >>> "<td>a&lt;b</td>" in text, "<th>word</th>" in text
        (True, True)
    """
    names = list(rows[0]) if rows else []
    head = _row("th", names)
    body = "\n".join(_row("td", [row[name] for name in names]) for row in rows)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n<h1>{escape(title)}: {len(rows):,}</h1>\n"
        f"<table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</html>\n"
    )


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
