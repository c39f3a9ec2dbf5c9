r"""Sensibleness and specificity of answers by human raters: rating sheets and their score.

A sheet is a table with a row for each answer and two empty columns; every rater fills in a copy
with 1 or 0. An answer is specific only if it is sensible; where `sensible` is 0, `specific` may
stay empty. Several raters vote by majority.

    SSA = (fraction of sensible answers + fraction of specific answers) / 2

Source: Adiwardana et al. 2020 (https://arxiv.org/abs/2001.09977), section 2.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from lm.data.storage import readers
from lm.errors import UserError

READ = ("context", "answer")
RATED = ("sensible", "specific")
MARKS = ("0", "1")


def sheet(conversations: Iterable[tuple[Sequence[str], str]]) -> Iterator[str]:
    r"""Yields the lines of a sheet of conversations and their answers.

    Example:
        >>> list(sheet([(["Hi!", "Who is\nit?"], "A friend.")]))
        ['context\tanswer\tsensible\tspecific\n', 'Hi! / Who is it?\tA friend.\t\t\n']
    """
    yield "\t".join((*READ, *RATED)) + "\n"
    for turns, answer in conversations:
        context = " / ".join(" ".join(turn.split()) for turn in turns)
        yield "\t".join((context, " ".join(answer.split()), "", "")) + "\n"


def score(paths: Sequence[str]) -> dict[str, float]:
    """Returns sensibleness, specificity and their mean, 0 to 100, of the raters' sheets.

    Raises:
        UserError: a mark is missing or not 0 or 1, or two sheets have different answers.
    """
    sheets = [
        list(readers.read_tsv(path, columns=(*READ, *RATED), check=MarksCheck())) for path in paths
    ]
    answers = [[tuple(row[name] for name in READ) for row in rows] for rows in sheets]
    for path, other in zip(paths, answers, strict=True):
        if other != answers[0] or not other:
            raise UserError(f"{path}: not the answers of {paths[0]}, in their order")
    sensible, specific = (
        np.array([[row[name].strip() == "1" for row in rows] for rows in sheets]) for name in RATED
    )
    specific &= sensible
    shares = [100 * float(np.mean(2 * x.sum(axis=0) > len(sheets))) for x in (sensible, specific)]
    return {"sensibleness": shares[0], "specificity": shares[1], "ssa": sum(shares) / 2}


class MarksCheck:
    """Finds a row that a rater has not filled in."""

    def __call__(self, row: readers.Row) -> tuple[str, str]:
        """Returns kind and detail of the defect, or two empty strings."""
        sensible, specific = (row[name].strip() for name in RATED)
        unasked = sensible == "0" and not specific
        bad = [name for name in RATED if row[name].strip() not in MARKS and not unasked]
        return ("not rated", f" (column {bad[0]!r} needs 0 or 1)") if bad else ("", "")

    def describe(self) -> Any:
        """Returns the columns that are looked at."""
        return RATED
