"""Whether a value of a gin file suits the annotation of a parameter, and an annotation in words."""

import collections.abc
import inspect
import types
import typing
from typing import Annotated, Any, Literal, Union

from lm.config.syntax import Macro, Reference

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


def suits(value: Any, wish: Any) -> bool:
    """Tell whether a gin value suits an annotation; what cannot be judged suits.

    Example:
        >>> from lm.ranges import PositiveInt
        >>> [suits(value, PositiveInt | None) for value in (8, None, 0, "8")]
        [True, True, False, False]
    """
    if isinstance(value, Macro) or (isinstance(value, Reference) and value.is_call):
        return True
    origin = typing.get_origin(wish)
    if origin in (Union, types.UnionType):
        return any(suits(value, option) for option in typing.get_args(wish))
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
    """Tell whether a value lies in a range, is a factory, a mapping or a sequence as wished."""
    if kind is Annotated:
        return suits(value, inner[0]) and all(value in limit for limit in inner[1:])
    if kind is collections.abc.Callable:
        return isinstance(value, Reference)
    if not inspect.isclass(kind) or kind in (object, str, Any):
        return True
    if issubclass(kind, collections.abc.Mapping):
        wish = inner[1] if inner else Any
        return isinstance(value, dict) and all(suits(item, wish) for item in value.values())
    if kind in (list, tuple) or kind in (collections.abc.Sequence, collections.abc.Iterable):
        items = [wish for wish in inner if wish is not Ellipsis]
        is_list = isinstance(value, list | tuple)
        return is_list and (len(items) != 1 or all(suits(item, items[0]) for item in value))
    is_open = getattr(kind, "_is_protocol", False)
    return is_open or isinstance(value, kind)


def in_words(wish: Any) -> str:
    """Return an annotation in words.

    Example:
        >>> from lm.ranges import UnitFloat
        >>> in_words(UnitFloat | None)
        'a number from 0 to below 1 or None'
    """
    options = typing.get_args(wish)
    kind = typing.get_origin(wish) or wish
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
    return _WORDS.get(kind) or str(wish).replace("collections.abc.", "").replace("typing.", "")
