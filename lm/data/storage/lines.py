"""The lines of UTF-8 files; defects are raised or counted."""

import codecs
import collections
import gzip
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

from lm.data.storage import files
from lm.errors import UserError

MAX_LINE_BYTES = 64 * 2**20
_REMEDY = (
    "repair it; a task skips such lines with on_error='skip', `lm tokenizer` with --on_error=skip"
)
BYTE_ORDER_MARK, CRLF = "byte order mark", "CRLF line end"


class DefectReport:
    """Raises or counts the defects that readers meet.

    Args:
        on_error: "raise" to stop at the first defect, "skip" to count defects.
        admitted: kinds that are no defects here.
    """

    def __init__(self, on_error: str = "raise", *, admitted: Collection[str] = ()):
        if on_error not in ("raise", "skip"):
            raise UserError(f"on_error={on_error!r}: must be 'raise' or 'skip'")
        self.on_error, self.admitted = on_error, admitted
        self.counts: collections.Counter[str] = collections.Counter()
        self.first: dict[str, str] = {}

    def defect(self, path: str | Path, line: int, kind: str, detail: str = "") -> None:
        """Reports one defect; returns only when defects are skipped, or this one is admitted.

        Raises:
            UserError: with file, line and defect, if `on_error` is "raise".
        """
        if kind in self.admitted:
            return
        origin = f"{path}:{line}"
        if self.on_error == "raise":
            raise UserError(f"{origin}: {kind}{detail}; {_REMEDY}")
        self.counts[kind] += 1
        self.first.setdefault(kind, origin)

    def __str__(self) -> str:
        """One line with each kind of defect, its count and where the first is."""
        parts = (f"{n:,} × {kind} (first {self.first[kind]})" for kind, n in self.counts.items())
        return ", ".join(parts) or "no defects"

    def losses(self) -> str:
        """One line that says what was left out."""
        return f"lines left out (of a CRLF end or byte order mark only these bytes): {self}"


def sound(found: Iterator[tuple[int, str | None]]) -> Iterator[tuple[int, str]]:
    """Leaves out the lines that have a defect."""
    return ((number, text) for number, text in found if text is not None)


def filled_lines(path: Path, report: DefectReport) -> Iterator[tuple[int, str | None]]:
    """Yields lines as `lines` does; a line of white space is a defect too."""
    for number, text in lines(path, report):
        if text is not None and not text.strip():
            report.defect(path, number, "empty line")
            text = None
        yield number, text


def lines(path: Path, report: DefectReport) -> Iterator[tuple[int, str | None]]:
    """Yields (number, text) of every line of a file; text is None where a defect leaves it out."""
    number = 0
    for number, raw in _raw_lines(path):
        yield number, _decode(path, number, raw, report)
    if number == 0:
        report.defect(path, 1, "empty file")


def _raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields (number, bytes) of each line without its end; a longer one than allowed is cut."""
    with files.open_binary(path) as file:
        try:
            number = 0
            while raw := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
                    _finish_line(file)
                yield number, raw.removesuffix(b"\n")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(
                f"{path}: cut or damaged gzip file ({error}); fetch it again"
            ) from error


def _finish_line(file: IO[bytes]) -> None:
    """Skips the rest of the current line."""
    while (rest := file.readline(1 << 20)) and not rest.endswith(b"\n"):
        pass


def _decode(path: Path, number: int, raw: bytes, report: DefectReport) -> str | None:
    """Returns the text of a line, or None if it is left out for a defect."""
    if number == 1 and raw.startswith(codecs.BOM_UTF8):
        report.defect(path, number, BYTE_ORDER_MARK)
        raw = raw.removeprefix(codecs.BOM_UTF8)
    if raw.endswith(b"\r"):
        report.defect(path, number, CRLF)
        raw = raw.removesuffix(b"\r")
    kind, detail = _fault(raw)
    if kind:
        report.defect(path, number, kind, detail)
        return None
    return raw.decode()


def _fault(raw: bytes) -> tuple[str, str]:
    """Returns kind and detail of a line's fatal defect, or two empty strings."""
    if len(raw) > MAX_LINE_BYTES:
        return "line too long", f" (over {MAX_LINE_BYTES >> 20} MiB)"
    for byte, kind in ((b"\0", "NUL byte"), (b"\r", "carriage return inside the line")):
        if byte in raw:
            return kind, f" (byte {raw.index(byte) + 1} of the line)"
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return "invalid UTF-8", f" (byte {error.start + 1} of the line)"
    return "", ""
