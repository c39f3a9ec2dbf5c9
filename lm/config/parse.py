"""From gin files to a locked configuration; every error is one line with file and line number.

gin's own loop executes imports while it resolves names, and forgets where a binding was. So the
loop is ours, and gin contributes its parser, its wrappers and its scopes. Used beyond gin's public
names: `ConfigurableReference`, `ImportStatement`, `_inverse_lookup`, `_IMPORTS`.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import gin
from gin import config as gin_config
from gin import config_parser
from lm.config import admit, macros, reachability, syntax
from lm.config.describe import config_text
from lm.config.faults import faults
from lm.config.names import ENTRIES, did_you_mean
from lm.config.scanner import scan
from lm.config.syntax import REQUIRED, Binding, Macro, Reference
from lm.errors import ConfigError
from lm.wall import wall


@dataclass(frozen=True)
class Config:
    """A loaded configuration. gin holds one at a time: loading another replaces this one.

    Attributes:
        bindings: one per key, with full paths.
        modules: the modules that the files import, in order.
    """

    bindings: tuple[Binding, ...]
    modules: tuple[str, ...]

    def text(self) -> str:
        """Returns the whole configuration as one equivalent gin file."""
        return config_text(self.bindings, self.modules)

    def has(self, macro: str) -> bool:
        """Returns whether the macro is defined."""
        return macro in macros.table(self.bindings)

    def value(self, macro: str) -> Any:
        """Returns the value of a macro, with references evaluated.

        Raises:
            ConfigError: nothing defines it.
        """
        known = macros.table(self.bindings)
        if macro not in known:
            near = did_you_mean(macro, known)
            raise ConfigError(f"no gin file defines {macro}{near}; give --gin.{macro}=VALUE")
        return _evaluated(macro)

    def get(self, macro: str, default: Any = None) -> Any:
        """Returns the value of a macro, or the default if nothing defines it."""
        return self.value(macro) if self.has(macro) else default

    def configured(self, path: str) -> Callable[..., Any]:
        """Returns a root (`lm.train.train`) with its bindings as defaults."""
        module, _, name = path.rpartition(".")
        found = getattr(importlib.import_module(module), name)
        return gin.get_configurable(_register(found, path))

    def arguments(self, path: str) -> dict[str, Any]:
        """Returns the arguments that the bindings give to a root, with references evaluated."""
        return gin.get_bindings(self.configured(path))


_LOADED: list[Config] = []


def load(
    gin_files: Sequence[str],
    bindings: Sequence[str] = (),
    search_paths: Sequence[str] = (),
    modules: Sequence[str] = (),
    *,
    roots: Sequence[str] = (),
) -> Config:
    """Scans, checks and parses gin files and bindings; locks the result in gin.

    Args:
        gin_files: in order, later ones win; searched in the search paths, the current folder and
            the package's gin folder.
        bindings: gin text, after the files.
        search_paths: folders of gin files.
        modules: roots that gin files may import besides the package's own; imported at once.
        roots: what the verb calls or builds: full paths (`lm.train.train`) or macros (`MODEL`), by
            default every entry function; only what they use must be set.

    Raises:
        ConfigError: with file, line, binding and the nearest known name.
    """
    found = scan(gin_files, bindings, search_paths=search_paths, modules=modules)
    _clear()
    admit.import_roots(modules)
    for statement in found.imports:
        admit.import_module(statement)
    objects = admit.objects(found.bindings, _called(roots), modules)
    names = {path: _register(item, path) for path, item in objects.items()}
    given = [syntax.renamed(binding, names) for binding in found.bindings]
    by_name = {names[path]: item for path, item in objects.items()}
    used = _checked(given, by_name, roots=[_root(root, names) for root in roots])
    _bind(macros.resolved(used))
    config = Config(tuple(used), tuple(dict.fromkeys(s.module for s in found.imports)))
    _LOADED[:] = [config]
    return config


def loaded() -> Config:
    """Returns the configuration that gin holds.

    Raises:
        ConfigError: none was loaded.
    """
    if not _LOADED:
        raise ConfigError("no configuration is loaded: call lm.config.load first")
    return _LOADED[0]


def config_str() -> str:
    """Returns the loaded configuration as one gin file."""
    return loaded().text()


def operative_config_str() -> str:
    """Returns the values actually used since the configuration was loaded, defaults included."""
    return gin.operative_config_str()


def _checked(
    given: Sequence[Binding], objects: Mapping[str, Any], *, roots: Sequence[str]
) -> list[Binding]:
    """Checks the bindings; returns those that can be used, one per key."""
    first = next(faults(given, objects, roots=roots), None)
    if first is not None:
        raise first
    return reachability.usable(given, roots)


def _called(roots: Sequence[str]) -> list[str]:
    """Returns the full paths of roots, and of entry functions whose modules are imported."""
    named = [root.rpartition("/")[2] for root in roots]
    imported = [path for path in ENTRIES if path.rpartition(".")[0] in sys.modules]
    return [path for path in dict.fromkeys([*named, *imported]) if "." in path]


def _root(root: str, names: Mapping[str, str]) -> str:
    """Returns a root under gin's name."""
    scope, slash, path = root.rpartition("/")
    return f"{scope}{slash}{names.get(path, path)}"


def _clear() -> None:
    """Clears all bindings but keeps what is registered."""
    gin.clear_config()
    statement = config_parser.ImportStatement(
        module="__gin__.dynamic_registration",
        is_from=True,
        alias=None,
        location=config_parser.Location(None, 0, None, ""),
    )
    gin_config._IMPORTS.add(statement)


def _register(found: Any, path: str) -> str:
    """Registers an object with gin, once, and returns its name there.

    The object itself is unchanged: references evaluate to a configured copy.

    Args:
        found: a class or function.
        path: its full path; the name, if it is registered for the first time.
    """
    known = gin_config._inverse_lookup(found)
    if known is not None:
        return known.selector
    module, _, name = path.rpartition(".")
    with gin.unlock_config():
        gin.register(name, module=module)(found)
    return path


def _bind(bindings: Iterable[Binding]) -> None:
    """Passes the bindings to gin and locks the configuration.

    Raises:
        ConfigError: gin rejects one of them.
    """
    for binding in bindings:
        origin = f"{binding.origin}: {binding.written}"
        value = syntax.mapped(binding.value, partial(_leaf, origin=origin))
        try:
            gin.bind_parameter((binding.scope, binding.target, binding.parameter), value)
        except ValueError as error:
            raise ConfigError(f"{origin}: {error}") from error
    gin.finalize()


def _evaluated(macro: str) -> Any:
    """Returns the value of a macro, with references evaluated."""
    return deepcopy(_Reference(f"{macro}/{syntax.MACRO}", evaluate=True, origin=macro))


class _Reference(gin_config.ConfigurableReference):
    """A reference that gin evaluates inside `lm.wall`, whose errors then name the binding."""

    def __init__(self, name: str, *, evaluate: bool, origin: str) -> None:
        super().__init__(name, evaluate)
        self._origin = origin

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Evaluates the reference; gin does so by copying it."""
        with wall(self._origin):
            return super().__deepcopy__(memo)


def _leaf(leaf: Any, *, origin: str) -> Any:
    """Returns a reference or macro as gin's own object.

    Args:
        leaf: of a binding's value.
        origin: where the binding is, for messages.
    """
    if isinstance(leaf, Macro) and leaf.name == REQUIRED:
        return gin_config.ConfigurableReference(f"{REQUIRED}/gin.constant", evaluate=True)
    if isinstance(leaf, Macro):
        return _Reference(f"{leaf.name}/{syntax.MACRO}", evaluate=True, origin=origin)
    if isinstance(leaf, Reference):
        name = f"{leaf.scope}/{leaf.target}" if leaf.scope else leaf.target
        return _Reference(name, evaluate=leaf.is_call, origin=origin)
    return leaf
