"""Layers that repeat: all of them, or one for all where only shapes are counted."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import groupby
from typing import Any

from lm.nn.branch import Factory, make
from lm.types import Layer

_ABRIDGED: ContextVar[bool] = ContextVar("abridged", default=False)
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def repeat(numbers: range, factories: Sequence[Factory], name: str) -> list[list[Layer]]:
    """Makes a list of layers for each number, called `<name>_<number>_<index in the list>`.

    They differ only in names and values. So inside `abridged` one list stands for all, with the
    range of the numbers where the number would be.

    Example:
        >>> [[layer.name] for [layer] in repeat(range(3), [keras.layers.Identity], "layer")]
        [['layer_0_0'], ['layer_1_0'], ['layer_2_0']]
        >>> with abridged():
        ...     [[layer.name] for [layer] in repeat(range(3), [keras.layers.Identity], "layer")]
        [['layer_0..2_0']]
    """
    labels = [str(number) for number in numbers]
    if _ABRIDGED.get() and len(labels) > 1:
        labels = [f"{labels[0]}..{labels[-1]}"]
    return [
        [make(factory, f"{name}_{label}_{i}") for i, factory in enumerate(factories)]
        for label in labels
    ]


@contextmanager
def abridged() -> Iterator[None]:
    """Lets `repeat` make one of its lists: for models that are traced and counted, not run."""
    token = _ABRIDGED.set(True)
    try:
        yield
    finally:
        _ABRIDGED.reset(token)


def times(path: str) -> int:
    """Returns how many layers a path or name scope stands for.

    Example:
        >>> times("gpt2/decoder/layer_0..11_0/attention/kernel"), times("gpt2/embedding")
        (12, 1)
    """
    return math.prod(int(last) - int(first) + 1 for first, last in _RANGE.findall(path))


def unabridged(variables: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yields (path, value) of every variable that abridged ones stand for, in order.

    Example:
        >>> list(unabridged([("l_0/w", 5), ("l_1..2/w", 7), ("l_1..2/b", 8), ("head", 9)]))
        [('l_0/w', 5), ('l_1/w', 7), ('l_1/b', 8), ('l_2/w', 7), ('l_2/b', 8), ('head', 9)]
    """
    for head, layer in groupby(variables, key=lambda variable: _up_to_a_range(variable[0])):
        found = _RANGE.search(head)
        if found is None:
            yield from layer
            continue
        inside = [(path[found.end() :], what) for path, what in layer]
        for number in range(int(found[1]), int(found[2]) + 1):
            name = f"{head[: found.start()]}{number}"
            yield from unabridged((name + rest, what) for rest, what in inside)


def _up_to_a_range(path: str) -> str:
    """Returns the part of a path that ends with its first range; nothing if it has none."""
    found = _RANGE.search(path)
    return path[: found.end()] if found else ""
