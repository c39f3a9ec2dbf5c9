"""What a bar of reliability is: a promise, a function that tries to break it, and how often.

A bar lives in a file by subject, `tests/reliability/bars_<subject>.py`, whose list `BARS` names it;
nothing else is to be edited. `python -m tests.reliability` runs all of them in long form and prints
the table, `tests/reliability/test_bars.py` runs each of them in short form.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Result(NamedTuple):
    """What came of it.

    Attributes:
        count: trials made.
        failures: one line for each trial that broke the promise; none if it held.
        note: figures to show beside the count.
    """

    count: int
    failures: list[str]
    note: str = ""


class Bar(NamedTuple):
    """A promise and its trial.

    Attributes:
        number: what `--only` takes.
        name: a word or two.
        what: the promise, in a part of a line.
        run: called with the number of trials and an empty folder; runs them.
        short: trials in the test suite.
        long: trials in `make reliability`.
        slow: whether the short form too takes more than a few seconds.
    """

    number: int
    name: str
    what: str
    run: Callable[[int, Path], Result]
    short: int
    long: int
    slow: bool = False


def all_bars() -> list[Bar]:
    """Returns the bars of every `bars_*.py`, by number."""
    names = sorted(path.stem for path in HERE.glob("bars_*.py"))
    modules = [importlib.import_module(f"tests.reliability.{name}") for name in names]
    return sorted((bar for module in modules for bar in module.BARS), key=lambda bar: bar.number)
