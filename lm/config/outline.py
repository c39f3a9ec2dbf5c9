"""Names and parameters of modules, read from their source without importing them.

So a configuration is checked in a fraction of a second; importing what it names would load a
framework. What the source does not show, such as a base class of Keras, is not checked.
"""

import ast
import collections.abc
import functools
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lm import ranges
from lm.config.names import OWN_ROOTS, REFUSED, did_you_mean, lies_in

_PLAIN = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "Any": Any,
    "Literal": typing.Literal,
    "Callable": collections.abc.Callable,
    "Sequence": collections.abc.Sequence,
    "Mapping": collections.abc.Mapping,
    "list": list,
    "tuple": tuple,
    "dict": dict,
}
_RANGES = {
    name: getattr(ranges, name)
    for name in ("PositiveInt", "NonNegativeInt", "Seed", "NonNegativeFloat", "UnitFloat")
}
_DECORATORS = ("part", "value", "entry")
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


class Outline(NamedTuple):
    """What the source says about a class or function.

    Attributes:
        path: where it is defined, possibly another module than the one named.
        signature: an empty function with the same name and parameters; None if the source does not
            show them.
        is_part: whether gin files may name it.
    """

    path: str
    signature: Callable[..., Any] | None
    is_part: bool


class NotDefinedError(LookupError):
    """The module has no such name; the argument lists the names that it has."""


def is_judged(path: str) -> bool:
    """Returns whether a path can be checked here; Keras' objects are checked on import."""
    return not lies_in(path, ("keras", "gin"))


def exists(module: str) -> bool:
    """Returns whether a module has a source file.

    Example:
        >>> exists("lm.config.outline"), exists("lm.config.nothing")
        (True, False)
    """
    return _file(module) is not None


def unknown_module(module: str) -> str:
    """Returns the message for a module that does not exist."""
    parent, _, name = module.rpartition(".")
    if name in parts(parent) or hasattr(sys.modules.get(parent), name):
        above, _, last = parent.rpartition(".")
        wanted = f"from {above} import {last}" if above else f"import {last}"
        return f"'{module}' is not a module; write `{wanted}` and then @{last}.{name}"
    below = _below(parent, name)
    hint = f"; did you mean '{below[0]}'?" if below else did_you_mean(module, _modules(parent))
    return f"no module '{module}'{hint}"


def _below(package: str, name: str) -> list[str]:
    """Returns the modules of a name in the packages of a package, as `lm.data.rows.packing`."""
    folder = _file(package)
    files = sorted(folder.parent.glob(f"*/{name}.py")) if folder else []
    found = [f"{package}.{file.parent.name}.{name}" for file in files]
    return [module for module in found if not lies_in(module, REFUSED)]


def _modules(package: str) -> list[str]:
    """Returns the modules of a package."""
    folder = _file(package)
    if folder is None or folder.name != "__init__.py":
        return []
    names = {path.stem for path in folder.parent.glob("*.py")}
    names |= {path.parent.name for path in folder.parent.glob("*/__init__.py")}
    return sorted(f"{package}.{name}" for name in names - {"__init__"})


def outline(path: str) -> Outline:
    """Returns the outline of a class or function.

    Args:
        path: its full path, such as `lm.nn.attention.SelfAttention`.

    Raises:
        NotDefinedError: its module has no such class or function.
    """
    module, _, name = path.rpartition(".")
    for node in _statements(module):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name and exists(node.module):
                    return outline(f"{node.module}.{alias.name}")
        elif isinstance(node, _FUNCTIONS | ast.ClassDef) and node.name == name:
            return Outline(path, _signature(module, node), _is_part(module, node))
    raise NotDefinedError(sorted(parts(module)))


def parts(module: str) -> Iterator[str]:
    """Yields the names in a module that gin files may use."""
    for node in _statements(module):
        if isinstance(node, _FUNCTIONS | ast.ClassDef) and _is_part(module, node):
            yield node.name


def _file(module: str) -> Path | None:
    """Returns the source file of a module."""
    root, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(root)
    except ValueError:  # a module created without a file
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    origin = Path(spec.origin)
    if not rest:
        return origin
    path = origin.parent.joinpath(*rest)
    files = (path / "__init__.py", path.with_suffix(".py"))
    is_package = origin.name == "__init__.py"
    return next((file for file in files if is_package and file.is_file()), None)


def _statements(module: str) -> list[ast.stmt]:
    """Returns the statements of a module; empty without a source file."""
    file = _file(module)
    return _parsed(file) if file else []


@functools.cache
def _parsed(file: Path) -> list[ast.stmt]:
    """Returns the statements of a file; empty after a syntax error, which its import will raise."""
    try:
        return ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError):
        return []


def _is_part(module: str, node: _FUNCTIONS | ast.ClassDef) -> bool:
    """Returns whether gin files may name a definition; in this package `lm.parts` declares it."""
    marks = [mark.id for mark in node.decorator_list if isinstance(mark, ast.Name)]
    return not lies_in(module, OWN_ROOTS) or bool({*marks} & {*_DECORATORS})


def _signature(module: str, node: _FUNCTIONS | ast.ClassDef) -> Callable[..., Any] | None:
    """Returns an empty function with the same parameters; None if the source does not show all."""
    function = _constructor(node) if isinstance(node, ast.ClassDef) else node
    if function is None or function.args.kwarg:
        return None
    names = _aliases(module)
    args = function.args
    first = args.args[1:] if isinstance(node, ast.ClassDef) else args.args
    positional = dict(
        zip([arg.arg for arg in reversed(args.args)], reversed(args.defaults), strict=False)
    )
    defaults = positional | dict(
        zip([arg.arg for arg in args.kwonlyargs], args.kw_defaults, strict=True)
    )
    return _function(
        node.name,
        {arg.arg: annotation(arg.annotation, names) for arg in (*first, *args.kwonlyargs)},
        defaults,
    )


def _constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    """Returns a class's own constructor; None if a base class or a decorator provides it."""
    found = (item for item in node.body if isinstance(item, ast.FunctionDef))
    return next((item for item in found if item.name == "__init__"), None)


def _function(
    name: str, annotations: Mapping[str, Any], defaults: Mapping[str, ast.expr | None]
) -> Callable[..., Any]:
    """Returns an empty function with these parameters."""

    def found() -> None:
        """Stands in for the real one."""

    none = inspect.Parameter.empty
    found.__name__ = name
    found.__annotations__ = dict(annotations)
    found.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                parameter,
                inspect.Parameter.KEYWORD_ONLY,
                default=none if defaults.get(parameter) is None else _default(defaults[parameter]),
            )
            for parameter in annotations
        ]
    )
    return found


def _default(node: ast.expr | None) -> Any:
    """Returns a literal default, or a placeholder for any other default."""
    return node.value if isinstance(node, ast.Constant) else node


def _aliases(module: str) -> Mapping[str, Any]:
    """Returns the names that annotations may use: plain types, ranges, the module's aliases."""
    names = _PLAIN | _RANGES
    for node in _statements(module):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found = annotation(node.value, names)
            if found is not Any:
                names[node.targets[0].id] = found
    return names


def annotation(node: ast.expr | None, names: Mapping[str, Any]) -> Any:
    """Returns the type of an annotation; Any if it is unknown here.

    Example:
        >>> read = lambda text: annotation(ast.parse(text, mode="eval").body, _PLAIN)
        >>> read("Sequence[int]"), read("keras.Layer")
        (collections.abc.Sequence[int], typing.Any)
    """
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.Name):
        return names.get(node.id, Any)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        sides = (annotation(node.left, names), annotation(node.right, names))
        return Any if Any in sides else typing.Union[sides]  # noqa: UP007 - of two values
    if isinstance(node, ast.Subscript):
        return _generic(annotation(node.value, names), node.slice, names)
    return Any


def _generic(kind: Any, inner: ast.expr, names: Mapping[str, Any]) -> Any:
    """Returns `kind[inner]`."""
    items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if kind is typing.Literal:
        return kind[tuple(item.value for item in items if isinstance(item, ast.Constant))]
    if kind is collections.abc.Callable or kind is Any:
        return kind
    return kind[tuple(... if _is_ellipsis(i) else annotation(i, names) for i in items)]


def _is_ellipsis(node: ast.expr) -> bool:
    """Returns whether an item is `...`."""
    return isinstance(node, ast.Constant) and node.value is ...
