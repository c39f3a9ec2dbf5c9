"""Word vectors in word2vec's formats: text, one word and its numbers per line, and binary float32.

Both start with a line `count width`. Words are UTF-8 without spaces.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from lm import disk
from lm.errors import UserError

_LONGEST = 4096  # bytes of a word, or of the header
_NUMBER = 4  # bytes of a float32


class NamedVectors(NamedTuple):
    """Unique names and their vectors, float32 [V, D]."""

    names: list[str]
    vectors: np.ndarray


def write_text(path: str | Path, names: Sequence[str], vectors: np.ndarray) -> None:
    """Writes the text format; float32 values are read back exactly.

    Raises:
        UserError: a name has white space or NUL, or the file cannot be written.
    """
    rows = zip(_checked(path, names), vectors, strict=True)
    lines = (f"{name} {' '.join(str(x) for x in row)}\n" for name, row in rows)
    content = f"{len(names)} {vectors.shape[1]}\n" + "".join(lines)
    disk.replace(Path(path), content.encode(), what="the vectors")


def write_binary(path: str | Path, names: Sequence[str], vectors: np.ndarray) -> None:
    """Writes the binary format.

    Raises:
        UserError: as `write_text`.
    """
    rows = zip(_checked(path, names), np.asarray(vectors, "<f4"), strict=True)
    content = b"".join(f"{name} ".encode() + row.tobytes() + b"\n" for name, row in rows)
    header = f"{len(names)} {vectors.shape[1]}\n".encode()
    disk.replace(Path(path), header + content, what="the vectors")


def read_text(path: str | Path) -> NamedVectors:
    """Reads the text format.

    Raises:
        UserError: the file is malformed; the message names the line.
    """
    with open(path, "rb") as file:
        count, width = _header(file, path, smallest=2)
        vectors, names = np.empty((count, width), np.float32), Names(path)
        for row in range(count):
            where = f"{path}:{row + 2}"
            cells = file.readline().split()
            if len(cells) != width + 1:
                raise UserError(f"{where}: {len(cells)} cells, not a word and {width} numbers")
            names.add(cells[0], where)
            vectors[row] = _numbers(cells[1:], where)
        return _ended(file, path, names, vectors)


def read_binary(path: str | Path) -> NamedVectors:
    """Reads the binary format.

    Raises:
        UserError: the file is malformed; the message gives the number of the word.
    """
    with open(path, "rb") as file:
        count, width = _header(file, path, smallest=_NUMBER)
        vectors, names = np.empty((count, width), np.float32), Names(path)
        for row in range(count):
            where = f"{path}: word {row + 1}"
            names.add(_word(file, where), where)
            numbers = file.read(_NUMBER * width)
            if len(numbers) < _NUMBER * width:
                raise UserError(f"{where}: the file ends in the middle of it, {count} are promised")
            vectors[row] = np.frombuffer(numbers, "<f4")
            if not np.isfinite(vectors[row]).all():
                raise UserError(f"{where}: a number is not finite; is it a text file?")
        return _ended(file, path, names, vectors)


class Names:
    """Unique names, collected while reading.

    Args:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.rows: dict[str, int] = {}

    def add(self, raw: bytes, where: str) -> None:
        """Takes the next name.

        Raises:
            UserError: it is empty, not UTF-8, contains NUL, or is a duplicate.
        """
        try:
            name = raw.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{where}: the word is not UTF-8: {raw[:40]!r}") from error
        if not name or "\0" in name:
            raise UserError(f"{where}: no word but {raw[:40]!r}")
        if name in self.rows:
            raise UserError(f"{where}: {name!r} is word {self.rows[name] + 1} too")
        self.rows[name] = len(self.rows)


def _header(file: IO[bytes], path: str | Path, *, smallest: int) -> tuple[int, int]:
    """Returns count and width, checked against the size of the file.

    Raises:
        UserError: the first line is no header, or the file is too short for it.
    """
    line = file.readline(_LONGEST)
    cells = line.split()
    if len(cells) != 2 or not all(x.isdigit() and int(x) > 0 for x in cells):  # noqa: PLR2004
        raise UserError(f"{path}:1: no header `count width` but {line[:40]!r}")
    count, width = map(int, cells)
    size = Path(path).stat().st_size
    if count * (smallest * width + 1) > size:
        raise UserError(f"{path}: {size} bytes are no {count} vectors of width {width}: it is cut")
    return count, width


def _word(file: IO[bytes], where: str) -> bytes:
    """Returns the bytes up to the next space.

    Raises:
        UserError: the word is too long, or the file ends.
    """
    found = bytearray()
    while (byte := file.read(1)) not in (b" ", b""):
        if byte != b"\n" or found:  # skips the newline after the previous vector
            found += byte
        if len(found) > _LONGEST:
            raise UserError(f"{where}: no space after {_LONGEST} bytes; is it a text file?")
    if not byte:
        raise UserError(f"{where}: the file ends before it")
    return bytes(found)


def _numbers(cells: Sequence[bytes], where: str) -> np.ndarray:
    """Returns numbers, checked to be finite.

    Raises:
        UserError: one is malformed or not finite.
    """
    try:
        found = np.array([float(x) for x in cells], np.float32)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    if not np.isfinite(found).all():
        raise UserError(f"{where}: a number is not finite")
    return found


def _ended(file: IO[bytes], path: str | Path, names: Names, vectors: np.ndarray) -> NamedVectors:
    """Returns the vectors, after checking that the file ends here.

    Raises:
        UserError: more data follows.
    """
    if file.read(_LONGEST).strip():
        raise UserError(f"{path}: more follows the {len(vectors)} words that its header promises")
    return NamedVectors(list(names.rows), vectors)


def _checked(path: str | Path, names: Sequence[str]) -> Sequence[str]:
    """Returns names, checked to be writable.

    Raises:
        UserError: one has white space or NUL.
    """
    bad = [name for name in names if not name or "\0" in name or name.split() != [name]]
    if bad:
        raise UserError(f"{path}: word2vec's formats cannot hold the name {bad[0]!r}")
    return names
