"""Imports what a scan admitted and checks the objects themselves.

Objects are admitted, not modules: what `lm.nn.attention` happens to import is not its own, so
`__module__` of every named object must lie in an admitted root too.
"""

import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import gin
from lm.config.scan import KERAS_ROOTS, OWN_ROOTS, REFUSED, lies_in
from lm.config.suggest import did_you_mean
from lm.config.syntax import Binding, Import, Origin, Reference, leaves
from lm.errors import ConfigError

# Where Keras defines what the six admitted packages export.
_KERAS_HOMES = tuple(root.replace("keras.", "keras.src.") for root in KERAS_ROOTS)
# These run a saved graph, read files, or build any object from a dictionary.
_KERAS_REFUSED = ("TFSMLayer", "Lambda", "deserialize", "get", "serialize")
_KERAS_REFUSED_HOMES = ("keras.src.layers.preprocessing",)
SINGLETON = "gin.singleton"


def import_roots(modules: Sequence[str]) -> None:
    """Import the user's own modules (`--gin_modules`), found in the current folder too.

    Raises:
        ConfigError: one of them cannot be imported.
    """
    if modules and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    for module in modules:
        import_module(Import(module, module, Origin("--gin_modules", 0)))


def import_module(statement: Import) -> ModuleType:
    """Import an admitted module.

    Raises:
        ConfigError: there is none of that name, or importing it fails.
    """
    try:
        return importlib.import_module(statement.module)
    except ModuleNotFoundError as error:
        missing = error.name or statement.module
        if not lies_in(statement.module, [missing]):
            raise ConfigError(
                f"{statement.origin}: importing '{statement.module}' fails: {error}"
            ) from error
        raise ConfigError(f"{statement.origin}: {_unknown_module(statement.module)}") from error
    except Exception as error:
        raise ConfigError(
            f"{statement.origin}: importing '{statement.module}' fails: "
            f"{type(error).__name__}: {error}"
        ) from error


def _unknown_module(module: str) -> str:
    """Return what to say of a module that does not exist."""
    parent, _, name = module.rpartition(".")
    found = sys.modules.get(parent)
    if hasattr(found, name):
        above, _, last = parent.rpartition(".")
        wanted = f"from {above} import {last}" if above else f"import {last}"
        return f"'{module}' is no module; write `{wanted}` and then @{last}.{name}"
    siblings = [f"{parent}.{item.name}" for item in pkgutil.iter_modules(_paths(found))]
    return f"no module '{module}'{did_you_mean(module, siblings)}"


def _paths(package: ModuleType | None) -> Iterable[str]:
    """Return where a package's modules lie."""
    return list(getattr(package, "__path__", []))


def objects(
    bindings: Iterable[Binding], roots: Iterable[str], modules: Sequence[str]
) -> dict[str, Any]:
    """Return the class or function of every full path that the bindings and roots name.

    Raises:
        ConfigError: one is missing or not admitted, at the binding that names it.
    """
    found = {root: load_object(root, root, Origin(root, 0), modules) for root in roots}
    for binding in bindings:
        named = [leaf for leaf in leaves(binding.value) if isinstance(leaf, Reference)]
        written = {leaf.target: f"@{leaf.target}" for leaf in named}
        if not binding.is_macro:
            written[binding.target] = binding.written
        for path, text in written.items():
            if path not in found:
                found[path] = load_object(path, text, binding.origin, modules)
    return found


def load_object(path: str, written: str, origin: Origin, modules: Sequence[str] = ()) -> Any:
    """Return the class or function of a full path.

    Args:
        path: `lm.nn.attention.SelfAttention`.
        written: how the gin text names it.
        origin: where, for messages.
        modules: the user's admitted roots.

    Raises:
        ConfigError: the module has no such name, or the object is not admitted.
    """
    if path == SINGLETON:
        return gin.singleton
    module_name, _, name = path.rpartition(".")
    module = import_module(Import(module_name, module_name, origin))
    found = getattr(module, name, None)
    if found is None:
        public = [key for key, value in vars(module).items() if _is_callable_kind(value)]
        raise ConfigError(
            f"{origin}: '{module_name}' has no '{name}' for {written}{did_you_mean(name, public)}"
        )
    _refuse_object(found, path, written, origin, modules)
    return found


def _is_callable_kind(value: Any) -> bool:
    """Tell whether the value is of a kind that gin can configure."""
    return inspect.isclass(value) or inspect.isroutine(value)


def _refuse_object(
    found: Any, path: str, written: str, origin: Origin, modules: Sequence[str]
) -> None:
    """Raise unless the object is a class or function of an admitted module."""
    if not _is_callable_kind(inspect.unwrap(found) if callable(found) else found):
        raise ConfigError(
            f"{origin}: {written} is a {type(found).__name__}, not a class or function"
        )
    home = getattr(found, "__module__", None) or "unknown"
    is_own = lies_in(home, (*OWN_ROOTS, *modules)) and not lies_in(home, REFUSED)
    if not (is_own or _is_admitted_keras(found, home)):
        raise ConfigError(
            f"{origin}: {written} is {home}.{path.rpartition('.')[2]}, which is not admitted; "
            f"if you trust it, add --gin_modules={home.split('.')[0]}"
        )


def _is_admitted_keras(found: Any, home: str) -> bool:
    """Tell whether Keras defines the object in one of the admitted packages."""
    if getattr(found, "__name__", "") in _KERAS_REFUSED or lies_in(home, _KERAS_REFUSED_HOMES):
        return False
    return lies_in(home, (*_KERAS_HOMES, *KERAS_ROOTS))
