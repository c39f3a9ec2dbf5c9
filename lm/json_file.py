"""JSON files: read from other programs, with a bound on their size and one-line errors; written."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lm.errors import UserError

_LARGEST = 256 * 2**20


def read_bounded(path: Path) -> bytes:
    """Returns the bytes of a file of 256 MiB or less.

    Raises:
        UserError: it is missing, is not a file, cannot be read, or is larger.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size > _LARGEST:
        raise UserError(f"{path} has {path.stat().st_size >> 20} MiB, too large for such a file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


def read_object(path: Path) -> dict[str, Any]:
    """Returns the JSON object of a file; its values may be anything.

    Raises:
        UserError: the file is not valid JSON, or not an object.
    """
    try:
        found = json.loads(read_bounded(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds a {type(found).__name__}, not a JSON object")
    return found


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Returns the objects of a file of JSON lines; an empty list if there is no file.

    Raises:
        UserError: a line is not JSON.
    """
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in read_bounded(path).splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} holds a line that is not JSON") from error


def as_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Returns objects as the text of a file of JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_object(path: Path, values: Mapping[str, Any]) -> None:
    """Writes a JSON object, indented."""
    text = json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True)
    path.write_text(f"{text}\n", encoding="utf-8")
