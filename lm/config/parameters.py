"""What a configurable takes: parameter names, and values of the annotated types."""

import collections.abc
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union

from lm.config.macros import expanded
from lm.config.suggest import did_you_mean
from lm.config.syntax import Binding, Macro, Reference
from lm.errors import ConfigError

_PLAIN = {int: "an integer", float: "a number", str: "a string", bool: "True or False"}


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
    if not _suits(value, wish):
        through = _through(binding, macros)
        raise ConfigError(
            f"{binding.origin}: {binding.written} takes {_wish(wish)}, not {_shown(value)}{through}"
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
        hints = typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        hints = {}
    listed = inspect.signature(function).parameters.values()
    named = [p for p in listed if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    wishes = {p.name: _with_default(hints.get(p.name, Any), p.default) for p in named}
    return wishes, any(p.kind is p.VAR_KEYWORD for p in listed)


def _with_default(wish: Any, default: Any) -> Any:
    """Return the annotation; a default of None admits None."""
    return wish | None if default is None and isinstance(wish, type) else wish


def _suits(value: Any, wish: Any) -> bool:
    """Tell whether a gin value suits an annotation; what cannot be judged suits."""
    if isinstance(value, Macro) or (isinstance(value, Reference) and value.is_call):
        return True
    origin = typing.get_origin(wish)
    if origin in (Union, types.UnionType):
        return any(_suits(value, option) for option in typing.get_args(wish))
    if origin is Literal:
        return value in typing.get_args(wish)
    if wish in (None, type(None)):
        return value is None
    if wish in _PLAIN:
        return _is_plain(value, wish)
    return _suits_kind(value, origin or wish, typing.get_args(wish))


def _is_plain(value: Any, wish: type) -> bool:
    """Tell whether a literal is a number, string or truth value as wished; True is no number."""
    if isinstance(value, bool) or wish is bool:
        return isinstance(value, bool) and wish is bool
    return isinstance(value, (int, float) if wish is float else wish)


def _suits_kind(value: Any, kind: Any, inner: tuple[Any, ...]) -> bool:
    """Tell whether a value is a factory, a mapping or a sequence as wished."""
    if kind is collections.abc.Callable:
        return isinstance(value, Reference)
    if not inspect.isclass(kind) or kind is object or kind is str:
        return True
    if issubclass(kind, collections.abc.Mapping):
        return isinstance(value, dict)
    if kind in (list, tuple) or kind in (collections.abc.Sequence, collections.abc.Iterable):
        items = [wish for wish in inner if wish is not Ellipsis]
        is_list = isinstance(value, list | tuple)
        return is_list and (len(items) != 1 or all(_suits(item, items[0]) for item in value))
    return True


def _wish(wish: Any) -> str:
    """Return an annotation in words."""
    options = typing.get_args(wish)
    if typing.get_origin(wish) in (Union, types.UnionType):
        return " or ".join(_wish(option) for option in options)
    if typing.get_origin(wish) is Literal:
        return " or ".join(map(repr, options))
    if (typing.get_origin(wish) or wish) is collections.abc.Callable:
        return "a reference (@name)"
    if wish in (None, type(None)):
        return "None"
    return _PLAIN.get(wish) or str(wish).replace("collections.abc.", "").replace("typing.", "")


def _shown(value: Any) -> str:
    """Return a value in words."""
    if isinstance(value, Reference):
        return f"the factory {value} (a call ends with `()`)"
    return f"{value!r}"


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
