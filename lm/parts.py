"""What gin files may name: only objects declared with these decorators where they are defined.

    @part     may be passed as a factory: `@attention.SelfAttention`; the library calls it later
    @value    may also be called while the file is read: `@user.text_task()`
    @entry    called by a command: a gin file may bind its parameters but not refer to it

Parts only compute. Nothing that writes, deletes, starts processes, imports or loads code is
declared, so gin files cannot reach it. Unlike gin's decorators, these leave the object unchanged.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Any, TypeVar

_Object = TypeVar("_Object", bound=Callable[..., Any])


class Use(Enum):
    """How a gin file may use an object."""

    ENTRY = auto()
    PART = auto()
    VALUE = auto()


_DECLARED: dict[Callable[..., Any], Use] = {}


def part(found: _Object) -> _Object:
    """Declares a factory or function that the library calls, such as a layer, mask or converter."""
    _DECLARED[found] = Use.PART
    return found


def value(found: _Object) -> _Object:
    """Declares a part that a gin file may also call, such as a schedule, vocabulary or task."""
    _DECLARED[found] = Use.VALUE
    return found


def entry(found: _Object) -> _Object:
    """Declares the entry function of a command."""
    _DECLARED[found] = Use.ENTRY
    return found


def declared() -> dict[Callable[..., Any], Use]:
    """Returns everything declared by the modules imported so far."""
    return dict(_DECLARED)


def use_of(found: Any) -> Use | None:
    """Returns how a gin file may use an object; None if it is not declared.

    Subclasses do not inherit the declaration.

    Example:
        >>> @part
        ... class Layer: ...
        >>> class Mine(Layer): ...
        >>> use_of(Layer), use_of(Mine)
        (<Use.PART: 2>, None)
    """
    return _DECLARED.get(found) if callable(found) else None
