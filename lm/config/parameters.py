"""What a configurable takes: parameter names, and values of the annotated types."""

import inspect
import typing
from collections.abc import Mapping
from typing import Any

from lm.config.annotations import in_words, suits
from lm.config.macros import expanded
from lm.config.suggest import did_you_mean
from lm.config.syntax import Binding, Macro, Reference, short
from lm.errors import ConfigError


def check(binding: Binding, found: Any, macros: Mapping[str, Binding]) -> None:
    """Raise unless the object takes the parameter and the value suits its annotation.

    Args:
        binding: what is bound; not a macro.
        found: the class or function.
        macros: definitions, to see through.

    Raises:
        ConfigError: naming file, line, binding and the nearest parameter.
    """
    known = parameters(found)
    if known is None:
        return
    if binding.parameter not in known:
        near = did_you_mean(binding.parameter, known) or f"; it takes {', '.join(known) or 'none'}"
        raise ConfigError(
            f"{binding.origin}: {binding.written}: {_name(found)} has no parameter "
            f"'{binding.parameter}'{near}"
        )
    value = expanded(binding.value, macros)
    wish = known[binding.parameter]
    if not suits(value, wish):
        raise ConfigError(
            f"{binding.origin}: {binding.written} takes {in_words(wish)}, not {_shown(value)}"
            f"{_through(binding, macros)}"
        )


def parameters(found: Any) -> dict[str, Any] | None:
    """Return parameter names and their annotations; None when any name is taken.

    Keras' constructors hand `**kwargs` to their parents, so the parents' names count.
    """
    if not inspect.isclass(found):
        own, is_open = _own(found)
        return None if is_open else own
    names: dict[str, Any] = {}
    for parent in inspect.getmro(found):
        if "__init__" not in vars(parent) or parent is object:
            continue
        own, is_open = _own(vars(parent)["__init__"])
        names = {**own, **names}
        if not is_open:
            break
    names.pop("self", None)
    return names


def _own(function: Any) -> tuple[dict[str, Any], bool]:
    """Return the names and annotations of a signature, and whether it takes `**kwargs`."""
    function = inspect.unwrap(function)
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        hints = {}
    listed = inspect.signature(function).parameters.values()
    named = [p for p in listed if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    wishes = {p.name: _with_default(hints.get(p.name, Any), p.default) for p in named}
    return wishes, any(p.kind is p.VAR_KEYWORD for p in listed)


def _with_default(wish: Any, default: Any) -> Any:
    """Return the annotation; a default of None admits None."""
    return wish | None if default is None and isinstance(wish, type) else wish


def _shown(value: Any) -> str:
    """Return a value in words."""
    if isinstance(value, Reference):
        return f"the factory {value} (a call ends with `()`)"
    return short(value)


def _through(binding: Binding, macros: Mapping[str, Binding]) -> str:
    """Return where the value comes from, when the binding is a macro's name."""
    source = binding.value
    origin = None
    while isinstance(source, Macro) and source.name in macros:
        origin = macros[source.name].origin
        source = macros[source.name].value
    return f", set in {origin} through {binding.value}" if origin else ""


def _name(found: Any) -> str:
    """Return the object's own name."""
    return getattr(found, "__name__", str(found))
