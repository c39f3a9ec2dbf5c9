"""Macros: their definitions, their expansion, and their errors."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lm.config import shipped, syntax
from lm.config.names import did_you_mean
from lm.config.syntax import REQUIRED, Binding, Macro
from lm.errors import ConfigError

_MOST_VALUES = 100_000
_MOST_LEVELS = 100


def table(bindings: Iterable[Binding]) -> dict[str, Binding]:
    """Returns the last definition of every macro."""
    return {binding.scope: binding for binding in bindings if binding.is_macro}


def expanded(value: Any, macros: Mapping[str, Binding]) -> Any:
    """Returns a value with its macros replaced; there must be no cycles.

    Example:
        >>> from lm.config.syntax import Origin
        >>> five = Binding("N", syntax.MACRO, "value", 5, Origin("f", 1), "N")
        >>> expanded([Macro("N"), 1], {"N": five})
        [5, 1]
    """

    def leaf(item: Any) -> Any:
        if isinstance(item, Macro) and item.name in macros:
            return expanded(macros[item.name].value, macros)
        return item

    return syntax.mapped(value, leaf)


def undefined(bindings: Iterable[Binding], macros: Mapping[str, Binding]) -> Iterator[ConfigError]:
    """Yields an error for every undefined macro: file, line and what to add."""
    users: dict[str, list[Binding]] = {}
    for binding in bindings:
        for name in used(binding.value):
            if name not in macros and name != REQUIRED:
                users.setdefault(name, []).append(binding)
    for name, (first, *others) in users.items():
        also = f" ({len(others)} more use it)" if others else ""
        advice = shipped.file_for_macro(name) or did_you_mean(name, macros)
        yield ConfigError(
            f"{first.origin}: {first.written} uses the macro %{name}, which nothing "
            f"defines{also}{advice}"
        )


def refuse_endless(bindings: Iterable[Binding], macros: Mapping[str, Binding]) -> None:
    """Refuses macros that refer to themselves, and values that are too large when expanded.

    Raises:
        ConfigError: naming the cycle, or the binding.
    """
    sizes: dict[str, int] = {}
    for name in macros:
        _measure(name, (), macros, sizes)
    for binding in bindings:
        _refuse_large(binding, _size(binding.value, sizes))


def required(bindings: Iterable[Binding]) -> Iterator[ConfigError]:
    """Yields an error with the flag to give for every required value that is not set.

    Args:
        bindings: those that the run uses.
    """
    for binding in bindings:
        if REQUIRED in used(binding.value):
            yield ConfigError(
                f"{binding.origin}: {binding.written} is required and not set; give "
                f"--gin.{binding.written}=VALUE"
            )


def resolved(bindings: Sequence[Binding]) -> list[Binding]:
    """Returns the bindings whose values contain no `%gin.REQUIRED`."""
    known = table(bindings)
    return [b for b in bindings if REQUIRED not in used(expanded(b.value, known))]


def used(value: Any) -> Sequence[str]:
    """Returns the macros that a value refers to."""
    return [leaf.name for leaf in syntax.leaves(value) if isinstance(leaf, Macro)]


def _measure(
    name: str, path: tuple[str, ...], macros: Mapping[str, Binding], sizes: dict[str, int]
) -> None:
    """Records the expanded size of a macro, after those that it refers to."""
    if name in path:
        cycle = " -> ".join(f"%{step}" for step in (*path[path.index(name) :], name))
        raise ConfigError(f"{macros[name].origin}: the macro {name} refers to itself: {cycle}")
    if name in sizes or name not in macros:
        return
    binding = macros[name]
    if len(path) > _MOST_LEVELS:
        raise ConfigError(f"{binding.origin}: the macro {name} is nested in {len(path)} others")
    for inner in used(binding.value):
        _measure(inner, (*path, name), macros, sizes)
    sizes[name] = _size(binding.value, sizes)
    _refuse_large(binding, sizes[name])


def _size(value: Any, sizes: Mapping[str, int]) -> int:
    """Returns the number of values in a value whose macros are measured."""
    return sum(
        sizes.get(leaf.name, 1) if isinstance(leaf, Macro) else 1 for leaf in syntax.leaves(value)
    )


def _refuse_large(binding: Binding, size: int) -> None:
    """Refuses a binding with more values than any setting takes."""
    if size > _MOST_VALUES:
        raise ConfigError(
            f"{binding.origin}: {binding.written} has {size:,} values with its macros replaced; "
            f"the limit is {_MOST_VALUES:,}"
        )
