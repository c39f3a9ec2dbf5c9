"""Imports the modules that a scan found and checks which of their objects gin may use.

Admission is by object, not by module: from this package what `lm.parts` declares, from Keras what
its six admitted packages define, from the user's modules what they define themselves.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from lm.config import outline
from lm.config.names import KERAS_ROOTS, OWN_ROOTS, did_you_mean, lies_in
from lm.config.syntax import Binding, Import, Origin, Reference, named, references
from lm.errors import ConfigError
from lm.parts import Use, use_of
from lm.wall import trust

# Where Keras defines what the six admitted packages export.
_KERAS_HOMES = tuple(root.replace("keras.", "keras.src.") for root in KERAS_ROOTS)
# These run a saved graph, read files, or build arbitrary objects from a dictionary.
_KERAS_REFUSED = ("TFSMLayer", "Lambda", "deserialize", "get", "serialize")
_KERAS_REFUSED_HOMES = ("keras.src.layers.preprocessing",)


def import_roots(modules: Sequence[str]) -> None:
    """Imports the user's own modules (`--gin_modules`), found in the current folder too.

    Raises:
        ConfigError: one of them cannot be imported.
    """
    if modules and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    for module in modules:
        import_module(Import(module, module, Origin("--gin_modules", 0)))
    trust(modules)


def import_module(statement: Import) -> ModuleType:
    """Imports an admitted module.

    Raises:
        ConfigError: it does not exist, or importing it fails.
    """
    try:
        return importlib.import_module(statement.module)
    except ModuleNotFoundError as error:
        missing = error.name or statement.module
        if not lies_in(statement.module, [missing]):
            raise ConfigError(
                f"{statement.origin}: importing '{statement.module}' fails: {error}"
            ) from error
        raise ConfigError(
            f"{statement.origin}: {outline.unknown_module(statement.module)}"
        ) from error
    except Exception as error:
        raise ConfigError(
            f"{statement.origin}: importing '{statement.module}' fails: "
            f"{type(error).__name__}: {error}"
        ) from error


def objects(
    bindings: Iterable[Binding], roots: Iterable[str], modules: Sequence[str]
) -> dict[str, Any]:
    """Returns the class or function of every full path that the bindings and roots name.

    Raises:
        ConfigError: one is missing or not admitted, at the binding that names it.
    """
    found = {root: load_object(root, root, Origin(root, 0), modules) for root in roots}
    for binding in bindings:
        for path, written in named(binding).items():
            if path not in found:
                found[path] = load_object(path, written, binding.origin, modules)
        for leaf in references(binding.value):
            _refuse_use(leaf, _use_of(found[leaf.target], modules), binding.origin)
    return found


def load_object(path: str, written: str, origin: Origin, modules: Sequence[str] = ()) -> Any:
    """Returns the class or function of a full path.

    Args:
        path: such as `lm.nn.attention.SelfAttention`.
        written: the name in the gin text.
        origin: for messages.
        modules: the user's admitted roots.

    Raises:
        ConfigError: the module has no such name, or the object is not admitted.
    """
    module_name, _, name = path.rpartition(".")
    module = import_module(Import(module_name, module_name, origin))
    found = getattr(module, name, None)
    if found is None:
        near = did_you_mean(name, parts_of(module, modules))
        raise ConfigError(f"{origin}: '{module_name}' has no '{name}' for {written}{near}")
    if not _is_callable_kind(inspect.unwrap(found) if callable(found) else found):
        raise ConfigError(
            f"{origin}: {written} is a {type(found).__name__}, not a class or function"
        )
    if _use_of(found, modules) is None:
        raise ConfigError(f"{origin}: {written} {_why_not(found, module, name, modules)}")
    return found


def _is_callable_kind(value: Any) -> bool:
    """Returns whether gin can configure the value: a class or function."""
    return inspect.isclass(value) or inspect.isroutine(value)


def _use_of(found: Any, modules: Sequence[str]) -> Use | None:
    """Returns how a gin file may use an object; None if it may not use it."""
    home = _home(found)
    if lies_in(home, modules):
        return Use.VALUE
    if lies_in(home, (*_KERAS_HOMES, *KERAS_ROOTS)):
        return _use_of_keras(found, home)
    return use_of(found)


def _use_of_keras(found: Any, home: str) -> Use | None:
    """Returns how a gin file may use an object of Keras."""
    if getattr(found, "__name__", "") in _KERAS_REFUSED or lies_in(home, _KERAS_REFUSED_HOMES):
        return None
    return Use.VALUE if inspect.isclass(found) else Use.PART


def _refuse_use(leaf: Reference, use: Use | None, origin: Origin) -> None:
    """Refuses references to entry functions, and calls of parts that must be passed uncalled."""
    if use is Use.ENTRY:
        raise ConfigError(
            f"{origin}: @{leaf.target} is called by a command; a gin file can only bind its "
            "parameters"
        )
    if leaf.is_call and use is not Use.VALUE:
        raise ConfigError(
            f"{origin}: {leaf} may not be called while the file is read; pass it as "
            f"@{leaf.target}, without ()"
        )


def _why_not(found: Any, module: ModuleType, name: str, modules: Sequence[str]) -> str:
    """Returns the message for an object that is not admitted."""
    home = _home(found)
    if not lies_in(home, (*OWN_ROOTS, "keras")):
        return (
            f"is {home}.{name}, which is not admitted; if you trust it, "
            f"add --gin_modules={home.split('.')[0]}"
        )
    kind = "class" if inspect.isclass(found) else "function"
    there = parts_of(module, modules)
    near = did_you_mean(name, there) or f"; {module.__name__} has {', '.join(there) or 'none'}"
    return f"is a {kind} that is not admitted: not a part that gin files may name{near}"


def parts_of(module: ModuleType, modules: Sequence[str]) -> list[str]:
    """Returns the names in a module that gin files may use."""
    return [
        name
        for name, value in vars(module).items()
        if _is_callable_kind(value) and _use_of(value, modules) and not name.startswith("_")
    ]


def _home(found: Any) -> str:
    """Returns the module that defines an object."""
    return getattr(found, "__module__", None) or "unknown"
