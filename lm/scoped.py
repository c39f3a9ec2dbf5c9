"""A value that context variables have within a block."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Value = TypeVar("Value")


@contextmanager
def scoped(variable: ContextVar[Value], *, value: Value) -> Iterator[None]:
    """Sets a context variable in the body; afterwards it has its previous value.

    Example:
        >>> depth = ContextVar("depth", default=0)
        >>> with scoped(depth, value=1):
        ...     depth.get()
        1
        >>> depth.get()
        0
    """
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
