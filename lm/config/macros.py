"""Macros: what they stand for, and what is wrong with them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lm.config import syntax
from lm.config.suggest import did_you_mean
from lm.config.syntax import REQUIRED, Binding, Macro
from lm.errors import ConfigError


def table(bindings: Iterable[Binding]) -> dict[str, Binding]:
    """Return the last definition of every macro."""
    return {binding.scope: binding for binding in bindings if binding.is_macro}


def expanded(value: Any, macros: Mapping[str, Binding]) -> Any:
    """Return a value with its macros replaced by what they stand for; cycles must be excluded.

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


def refuse_undefined(bindings: Iterable[Binding], macros: Mapping[str, Binding]) -> None:
    """Raise for the first macro that is used and not defined.

    Raises:
        ConfigError: naming file, line and the nearest macro.
    """
    for binding in bindings:
        for name in used(binding.value):
            if name not in macros and name != REQUIRED:
                near = did_you_mean(name, macros)
                raise ConfigError(
                    f"{binding.origin}: {binding.written} uses the macro %{name}, which nothing "
                    f"defines{near}"
                )


def refuse_cycles(macros: Mapping[str, Binding]) -> None:
    """Raise when a macro stands for itself.

    Raises:
        ConfigError: naming the way around.
    """
    done: set[str] = set()
    for name in macros:
        _visit(name, (), macros, done)


def refuse_required(bindings: Iterable[Binding]) -> None:
    """Raise for the first binding that the run must set and did not.

    Args:
        bindings: those that the run uses.

    Raises:
        ConfigError: naming file, line and the flag to give.
    """
    for binding in bindings:
        if REQUIRED in used(binding.value):
            raise ConfigError(
                f"{binding.origin}: {binding.written} is required and not set; give "
                f"--gin.{binding.written}=VALUE"
            )


def settled(bindings: Sequence[Binding]) -> list[Binding]:
    """Return the bindings that stand for no unset requirement; nothing that runs needs the rest."""
    known = table(bindings)
    return [b for b in bindings if REQUIRED not in used(expanded(b.value, known))]


def used(value: Any) -> Sequence[str]:
    """Return the macros that a value names."""
    return [leaf.name for leaf in syntax.leaves(value) if isinstance(leaf, Macro)]


def _visit(name: str, path: tuple[str, ...], macros: Mapping[str, Binding], done: set[str]) -> None:
    """Walk one macro depth first."""
    if name in path:
        around = " -> ".join(f"%{step}" for step in (*path[path.index(name) :], name))
        raise ConfigError(f"{macros[name].origin}: the macro {name} stands for itself: {around}")
    if name in done or name not in macros:
        return
    for inner in used(macros[name].value):
        _visit(inner, (*path, name), macros, done)
    done.add(name)
