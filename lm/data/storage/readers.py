"""Validated readers of text lines, tab-separated tables and JSON lines.

Every defect is reported with file and line. `on_error="raise"` stops at the first one,
`on_error="skip"` leaves the line out and counts it. A byte order mark and the carriage return of a
CRLF ending are defects too; "skip" drops only these bytes and keeps the line.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from lm.data.storage import files
from lm.data.storage.lines import DefectReport, filled_lines, lines, sound
from lm.errors import UserError
from lm.parts import part

MAX_PART = 2**20  # characters

Paths = str | Path | Sequence[str | Path]
Row = dict[str, Any]


class Check(Protocol):
    """A caller's own check of every row of a table."""

    def __call__(self, row: Row) -> tuple[str, str]:
        """Returns kind and detail of the row's defect, or two empty strings."""

    def describe(self) -> Any:
        """Returns everything that determines which rows pass, as plain JSON values."""


@part
def read_text_lines(
    paths: Paths, *, on_error: str = "raise", report: DefectReport | None = None
) -> Iterator[str]:
    """Yields the lines of UTF-8 files, without their line ends.

    Args:
        paths: path, glob or several of them; `.gz` is decompressed.
        on_error: "raise" or "skip"; what to do with a defect.
        report: where defects are counted, in place of `on_error`.

    Raises:
        UserError: the first defect, with file and line; or a file is missing or truncated.
    """
    report = report or DefectReport(on_error)
    for path in files.expand(paths):
        for _, line in sound(filled_lines(path, report)):
            yield line


@part
def read_paragraphs(
    paths: Paths, *, on_error: str = "raise", report: DefectReport | None = None
) -> Iterator[str]:
    """Yields the paragraphs of UTF-8 files: lines up to an empty one, joined with their line ends.

    Arguments and errors as in `read_text_lines`, except that an empty line is no defect.
    """
    report = report or DefectReport(on_error)
    for path in files.expand(paths):
        held: list[str] = []
        for _, line in sound(lines(path, report)):
            if line.strip():
                held.append(line)
            elif held:
                yield "\n".join(held)
                held = []
        if held:
            yield "\n".join(held)


@part
def read_documents(
    paths: Paths, *, on_error: str = "raise", report: DefectReport | None = None
) -> Iterator[str]:
    """Yields each UTF-8 file as one text, its line ends kept.

    Arguments and errors as in `read_text_lines`, except that an empty line is no defect.
    """
    report = report or DefectReport(on_error)
    for path in files.expand(paths):
        text = [line for _, line in sound(lines(path, report))]
        if text:
            yield "\n".join(text) + "\n"


def read_parts(
    paths: Paths,
    *,
    separator: str | None = None,
    on_error: str = "raise",
    report: DefectReport | None = None,
) -> Iterator[str]:
    """Yields the documents of UTF-8 files; long ones in parts of a million characters.

    Parts bound the tokenizer's memory, which grows with the length of its input.

    Args:
        paths: path, glob or several of them.
        separator: a line between two documents; None makes a document of each file.
        on_error: as in `read_text_lines`, except that an empty line is no defect.
        report: where defects are counted, in place of `on_error`.

    Raises:
        UserError: as `read_text_lines`.
    """
    report = report or DefectReport(on_error)
    for path in files.expand(paths):
        held: list[str] = []
        size = 0
        for _, line in sound(lines(path, report)):
            ends = line == separator
            if not ends:
                held.append(f"{line}\n")
                size += len(line)
            if ends or size >= MAX_PART:
                yield from _text(held)
                held, size = [], 0
        yield from _text(held)


def _text(lines: Sequence[str]) -> Iterator[str]:
    """Yields the text of lines, unless it is empty."""
    text = "".join(lines)
    if text.strip():
        yield text


def read_parallel(
    paths: Mapping[str, Paths], *, on_error: str = "raise", report: DefectReport | None = None
) -> Iterator[Row]:
    """Yields rows of aligned text files: line n of every file makes row n.

    A row with a defect in any file is left out of all, so that the files stay aligned.

    Args:
        paths: one path or glob per column, e.g. `{"en": "train.en.txt", "de": "train.de.txt"}`.
        on_error: "raise" or "skip".
        report: where defects are counted, in place of `on_error`.

    Raises:
        UserError: as `read_text_lines`; and always if one file has more lines.
    """
    report = report or DefectReport(on_error)
    sides = {name: files.expand(path) for name, path in paths.items()}
    if len({len(found) for found in sides.values()}) > 1:
        counts = ", ".join(f"{name}: {len(found)}" for name, found in sides.items())
        raise UserError(f"parallel files do not pair up ({counts} files)")
    for together in zip(*sides.values(), strict=True):
        yield from _aligned(dict(zip(sides, together, strict=True)), report)


def read_tsv(
    paths: Paths,
    *,
    columns: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    check: Check | None = None,
    on_error: str = "raise",
    report: DefectReport | None = None,
) -> Iterator[Row]:
    """Yields the rows of tab-separated files as dicts; a plain split at tabs, no quoting.

    Args:
        paths: path, glob or several of them.
        columns: the columns to keep; all by default.
        names: names of the columns when the files have no header line.
        check: finds further defects of a row.
        on_error: "raise" or "skip".
        report: where defects are counted, in place of `on_error`.

    Raises:
        UserError: a defect, with file and line; and always if the header lacks a column.
    """
    report = report or DefectReport(on_error)
    for path in files.expand(paths):
        yield from _passed(path, _table(path, columns, names, report), check, report)


def read_jsonl(
    paths: Paths,
    *,
    fields: Sequence[str] | None = None,
    as_text: Sequence[str] = (),
    check: Check | None = None,
    on_error: str = "raise",
    report: DefectReport | None = None,
) -> Iterator[Row]:
    """Yields one object per line of JSON files.

    Args:
        paths: path, glob or several of them.
        fields: the fields to keep, which every object must have, as text; by default whole objects,
            of any fields.
        as_text: fields that may be a number, true or false, which is converted to text.
        check: finds further defects of an object.
        on_error: "raise" or "skip".
        report: where defects are counted, in place of `on_error`.

    Raises:
        UserError: a defect, with file and line.
    """
    report = report or DefectReport(on_error)
    for path in files.expand(paths):
        for row in _passed(path, _objects(path, fields or (), as_text, report), check, report):
            yield {name: row[name] for name in fields} if fields else row


def read_rows(
    path: Path | str, *, columns: Sequence[str], as_text: Sequence[str] = ()
) -> Iterator[Row]:
    """Yields the columns of a file of JSON lines or, by any other name, of a table.

    Args:
        path: the file.
        columns: names of columns or fields; each row must have all.
        as_text: those that may be numbers in JSON; they become text.
    """
    if is_jsonl(path):
        return read_jsonl(path, fields=columns, as_text=as_text)
    return read_tsv(path, columns=columns)


def is_jsonl(path: Path | str) -> bool:
    """Returns whether a name is that of JSON lines: `.jsonl` or `.json`, also before `.gz`."""
    return not {".jsonl", ".json"}.isdisjoint(Path(path).suffixes)


def _passed(
    path: Path, rows: Iterator[tuple[int, Row]], check: Check | None, report: DefectReport
) -> Iterator[Row]:
    """Yields the rows that pass a check."""
    for number, row in rows:
        kind, detail = check(row) if check else ("", "")
        if kind:
            report.defect(path, number, kind, detail)
        else:
            yield row


def _aligned(sides: Mapping[str, Path], report: DefectReport) -> Iterator[Row]:
    """Yields the rows of one set of aligned files."""
    streams = [(text for _, text in filled_lines(path, report)) for path in sides.values()]
    for number, texts in enumerate(_longest(streams), start=1):
        if _ENDED in texts:
            short = list(sides.values())[texts.index(_ENDED)]
            raise UserError(f"{short}: has {number - 1} lines, its parallel file has more")
        if None not in texts:
            yield dict(zip(sides, texts, strict=True))


_ENDED = object()


def _longest(streams: Sequence[Iterator[Any]]) -> Iterator[list[Any]]:
    """Zips to the end of the longest, with `_ENDED` for exhausted ones."""
    while (items := [next(stream, _ENDED) for stream in streams]).count(_ENDED) < len(streams):
        yield items


def _table(
    path: Path,
    columns: Sequence[str] | None,
    names: Sequence[str] | None,
    report: DefectReport,
) -> Iterator[tuple[int, Row]]:
    """Yields (number, row) of the lines of one table."""
    rows = sound(filled_lines(path, report))
    header = list(names or next(rows, (0, ""))[1].split("\t"))
    if header == [""]:
        return
    selected = list(columns) if columns else header
    if missing := [name for name in selected if name not in header]:
        raise UserError(f"{path}:1: missing column {missing[0]!r}; it has {', '.join(header)}")
    for number, line in rows:
        cells = line.split("\t")
        if len(cells) != len(header):
            kind = "missing column" if len(cells) < len(header) else "extra column"
            report.defect(path, number, kind, f" ({len(cells)} cells, {len(header)} columns)")
        else:
            row = dict(zip(header, cells, strict=True))
            yield number, {name: row[name] for name in selected}


def _objects(
    path: Path, fields: Sequence[str], as_text: Sequence[str], report: DefectReport
) -> Iterator[tuple[int, Row]]:
    """Yields (number, object) of the lines of one file."""
    for number, line in sound(filled_lines(path, report)):
        row, kind, detail = _object(line, fields, as_text)
        if kind:
            report.defect(path, number, kind, detail)
        else:
            yield number, row


def _object(line: str, fields: Sequence[str], as_text: Sequence[str] = ()) -> tuple[Row, str, str]:
    """Returns the object of a line, and kind and detail of its defect or two empty strings."""
    try:
        row = json.loads(line)
        json.dumps(row, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, RecursionError) as error:
        return {}, "broken JSON", f" ({error})"
    if not isinstance(row, dict):
        return {}, "not a JSON object", ""
    row |= {name: _number_as_text(row[name]) for name in as_text if name in row}
    for name in fields:
        if name not in row:
            return row, "missing field", f" {name!r}"
        if not isinstance(row[name], str):
            return row, "not text", f" (field {name!r} is {_JSON_NAMES[type(row[name])]})"
    return row, "", ""


def _number_as_text(value: Any) -> Any:
    """Returns a number, true or false as JSON writes it, anything else as it is."""
    return json.dumps(value) if isinstance(value, bool | int | float) else value


_JSON_NAMES = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}
