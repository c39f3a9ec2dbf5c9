"""The differences between two JSON-like trees, leaf by leaf."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

from lm.errors import UserError

ABSENT = "-"
_LONGEST_VALUE = 80
_MOST_LINES = 20


def differences(old: Any, new: Any, name: str = "") -> dict[str, tuple[Any, Any]]:
    """Returns name → (old, new) of every leaf that differs.

    A leaf that one side lacks is "-" there. Tuples are compared as lists, as JSON stores them.

    Example:
        >>> differences({"a": [{"size": 1, "sha": "x"}]}, {"a": [{"sha": "y", "size": 1}]})
        {'a.0.sha': ('x', 'y')}
    """
    pairs: Mapping[Any, tuple[Any, Any]]
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        pairs = {k: (old.get(k, ABSENT), new.get(k, ABSENT)) for k in sorted({*old, *new})}
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        pairs = dict(enumerate(itertools.zip_longest(old, new, fillvalue=ABSENT)))
    else:
        return {} if old == new else {name: (old, new)}
    found: dict[str, tuple[Any, Any]] = {}
    for key, pair in pairs.items():
        found |= differences(*pair, name=".".join(filter(None, [name, str(key)])))
    return found


def with_differences(error: UserError, old: Any, new: Any, *, most: int = _MOST_LINES) -> UserError:
    """Adds a note for each difference to an error; notes are printed on lines of their own.

    Args:
        error: returned with the notes.
        old: the old tree.
        new: the new tree.
        most: differences to list; of the rest only the number is given.
    """
    found = differences(old, new)
    for name, (was, now) in itertools.islice(found.items(), most):
        error.add_note(f"{name} was {_short(was)}, is {_short(now)}")
    if len(found) > most:
        error.add_note(f"and {len(found) - most} more")
    return error


def _short(value: Any) -> str:
    """Returns a value as text, shortened."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."
