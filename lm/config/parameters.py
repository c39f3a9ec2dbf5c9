"""Checks parameters: does the configurable have it, and does the value fit its annotation."""

import collections.abc
import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union

from lm.config.macros import expanded
from lm.config.names import did_you_mean
from lm.config.syntax import Binding, Macro, Reference, short
from lm.errors import ConfigError

_PLAIN = (int, float, str, bool)
_WORDS = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "True or False",
    None: "None",
    type(None): "None",
    collections.abc.Callable: "a reference (@name)",
}
_EACH = {
    collections.abc.Mapping: "a dictionary whose every value is",
    collections.abc.Sequence: "a list whose every item is",
}


def faults(binding: Binding, found: Any, macros: Mapping[str, Binding]) -> Iterator[ConfigError]:
    """Yields an error if the object has no such parameter or the value does not fit its annotation.

    Args:
        binding: not that of a macro.
        found: the class or function.
        macros: definitions of the macros.
    """
    known = parameters(found)
    if known is None:
        return
    if binding.parameter not in known:
        near = did_you_mean(binding.parameter, known) or f"; it takes {', '.join(known) or 'none'}"
        yield ConfigError(
            f"{binding.origin}: {binding.written}: {_name(found)} has no parameter "
            f"'{binding.parameter}'{near}"
        )
        return
    value = expanded(binding.value, macros)
    annotation = known[binding.parameter]
    if not is_valid(value, annotation):
        yield ConfigError(
            f"{binding.origin}: {binding.written} takes {in_words(annotation)}, not {_shown(value)}"
            f"{_through(binding, macros)}"
        )


def required(found: Any) -> list[str]:
    """Returns the parameters of a function that have no default."""
    listed = inspect.signature(found).parameters.values()
    return [p.name for p in listed if p.kind is p.KEYWORD_ONLY and p.default is p.empty]


def parameters(found: Any) -> dict[str, Any] | None:
    """Returns parameter names and annotations; None if any name is accepted.

    Keras' constructors pass `**kwargs` to their parents, so the parents' parameters count too.
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
    """Returns the names and annotations of a signature, and whether it takes `**kwargs`."""
    function = inspect.unwrap(function)
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        hints = {}
    listed = inspect.signature(function).parameters.values()
    named = [p for p in listed if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    annotations = {p.name: _with_default(hints.get(p.name, Any), p.default) for p in named}
    return annotations, any(p.kind is p.VAR_KEYWORD for p in listed)


def _with_default(annotation: Any, default: Any) -> Any:
    """Returns the annotation, with None added if that is the default."""
    return annotation | None if default is None and isinstance(annotation, type) else annotation


def _shown(value: Any) -> str:
    """Returns a value in words."""
    if isinstance(value, Reference):
        return f"the factory {value} (a call ends with `()`)"
    return short(value)


def _through(binding: Binding, macros: Mapping[str, Binding]) -> str:
    """Returns where the value comes from, if the binding refers to a macro."""
    source = binding.value
    origin = None
    while isinstance(source, Macro) and source.name in macros:
        origin = macros[source.name].origin
        source = macros[source.name].value
    return f", set in {origin} through {binding.value}" if origin else ""


def _name(found: Any) -> str:
    """Returns the object's own name."""
    return getattr(found, "__name__", str(found))


def is_valid(value: Any, annotation: Any) -> bool:
    """Returns whether a gin value fits an annotation; True if that cannot be checked.

    Example:
        >>> from lm.ranges import PositiveInt
        >>> [is_valid(value, PositiveInt | None) for value in (8, None, 0, "8")]
        [True, True, False, False]
    """
    if isinstance(value, Macro) or (isinstance(value, Reference) and value.is_call):
        return True
    origin = typing.get_origin(annotation)
    if origin in (Union, types.UnionType):
        return any(is_valid(value, option) for option in typing.get_args(annotation))
    if origin is Literal:
        return value in typing.get_args(annotation)
    if annotation in (None, type(None)):
        return value is None
    if annotation in _PLAIN:
        return _is_plain(value, annotation)
    return _is_valid_kind(value, origin or annotation, typing.get_args(annotation))


def _is_plain(value: Any, annotation: type) -> bool:
    """Returns whether a literal is of a plain type; True does not count as a number."""
    if isinstance(value, bool) or annotation is bool:
        return isinstance(value, bool) and annotation is bool
    return isinstance(value, (int, float) if annotation is float else annotation)


def _is_valid_kind(value: Any, kind: Any, inner: tuple[Any, ...]) -> bool:
    """Returns whether a value fits a range, a factory, a mapping or a sequence."""
    if kind is Annotated:
        return is_valid(value, inner[0]) and all(value in limit for limit in inner[1:])
    if kind is collections.abc.Callable:
        return isinstance(value, Reference)
    if not inspect.isclass(kind) or kind in (object, str, Any):
        return True
    if issubclass(kind, collections.abc.Mapping):
        annotation = inner[1] if inner else Any
        return isinstance(value, dict) and all(
            is_valid(item, annotation) for item in value.values()
        )
    if kind in (list, tuple) or kind in (collections.abc.Sequence, collections.abc.Iterable):
        items = [annotation for annotation in inner if annotation is not Ellipsis]
        is_list = isinstance(value, list | tuple)
        return is_list and (len(items) != 1 or all(is_valid(item, items[0]) for item in value))
    is_open = getattr(kind, "_is_protocol", False)
    return is_open or isinstance(value, kind)


def in_words(annotation: Any) -> str:
    """Returns an annotation in words.

    Example:
        >>> from lm.ranges import UnitFloat
        >>> in_words(UnitFloat | None)
        'a number from 0 to below 1 or None'
    """
    options = typing.get_args(annotation)
    kind = typing.get_origin(annotation) or annotation
    if kind in (Union, types.UnionType):
        return " or ".join(in_words(option) for option in options)
    if kind is Literal:
        return " or ".join(map(repr, options))
    if kind is Annotated:
        return " ".join([in_words(options[0]), *map(str, options[1:])])
    if kind in _EACH and options:
        return f"{_EACH[kind]} {in_words(options[-1])}"
    if inspect.isclass(kind) and kind not in _WORDS:
        return f"a {kind.__name__}"
    return _WORDS.get(kind) or str(annotation).replace("collections.abc.", "").replace(
        "typing.", ""
    )
