"""Tables for evaluating word vectors: scored pairs, translations, analogies.

Files are UTF-8 and lower case; a byte order mark and CRLF line ends are accepted.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lm.data.storage.lines import BYTE_ORDER_MARK, CRLF, DefectReport, lines, sound
from lm.errors import UserError


class ScoredPair(NamedTuple):
    """Two words and their similarity as judged by people."""

    word: str
    other: str
    score: float


def scored_pairs(path: str | Path) -> Iterator[ScoredPair]:
    """Yields the pairs of a table `word, word, score` after its header line.

    Raises:
        UserError: a line is invalid.
    """
    for number, cells in _cells(path, ("word", "word", "score")):
        try:
            score = float(cells[2])
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise UserError(f"{path}:{number}: the score {cells[2]!r} is not a number")
        yield ScoredPair(cells[0], cells[1], score)


def translations(path: str | Path) -> Iterator[tuple[str, str]]:
    """Yields the pairs of a table `word, translation` after its header line.

    Raises:
        UserError: a line is invalid.
    """
    for _, (word, translation) in _cells(path, ("word", "translation")):
        yield word, translation


def analogies(path: str | Path) -> Iterator[list[str]]:
    """Yields the questions `a b c d` of a file; skips headings of groups, which begin with a colon.

    Raises:
        UserError: a line is invalid.
    """
    for number, line in _lines(path):
        words = line.split()
        if line.startswith(":"):
            continue
        if len(words) != 4:  # noqa: PLR2004 - a is to b as c to d
            raise UserError(f"{path}:{number}: no four words of an analogy: {line[:60]!r}")
        yield words


def _cells(path: str | Path, names: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Yields number and cells of each line after the first."""
    for number, line in _lines(path):
        cells = line.split("\t")
        if number > 1 and (len(cells) != len(names) or not all(cells)):
            expected = ", tab, ".join(names)
            raise UserError(f"{path}:{number}: no {expected}: {line[:60]!r}")
        if number > 1:
            yield number, cells


def _lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yields number and text of each line that is not empty."""
    report = DefectReport(admitted=(BYTE_ORDER_MARK, CRLF))
    for number, text in sound(lines(Path(path), report)):
        if text.strip():
            yield number, text.lower()
