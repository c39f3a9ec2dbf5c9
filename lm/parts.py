"""What a gin file may name: only what is declared here, at the place where it is defined.

    @part     `@attention.SelfAttention` hands it over; the library calls it later
    @value    a part that a gin file may also call while it is read: `@user.text_task()`
    @entry    what a command calls: a gin file binds its parameters and never refers to it

A part computes. What writes, removes, starts, imports or loads code is not declared, so that no
gin file can reach it. The object itself is unchanged: gin's own decorator would replace it.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Any, TypeVar

_Object = TypeVar("_Object", bound=Callable[..., Any])


class Use(Enum):
    """How a gin file may use what it names."""

    ENTRY = auto()
    PART = auto()
    VALUE = auto()


_DECLARED: dict[Callable[..., Any], Use] = {}


def part(found: _Object) -> _Object:
    """Declare a factory or function that the library calls: a layer, a mask, a converter."""
    _DECLARED[found] = Use.PART
    return found


def value(found: _Object) -> _Object:
    """Declare a part whose result may stand in a gin file: a schedule, a vocabulary, a task."""
    _DECLARED[found] = Use.VALUE
    return found


def entry(found: _Object) -> _Object:
    """Declare the function of a command."""
    _DECLARED[found] = Use.ENTRY
    return found


def declared() -> dict[Callable[..., Any], Use]:
    """Return everything declared so far; what no import has reached is not there."""
    return dict(_DECLARED)


def use_of(found: Any) -> Use | None:
    """Return how a gin file may use an object; None if it is not declared.

    A subclass is not declared by its parent.

    Example:
        >>> @part
        ... class Layer: ...
        >>> class Mine(Layer): ...
        >>> use_of(Layer), use_of(Mine)
        (<Use.PART: 2>, None)
    """
    return _DECLARED.get(found) if callable(found) else None
