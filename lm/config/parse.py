"""From gin files to a locked configuration; whatever is wrong is one line with file and line."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lm.config import admit, macros, parameters, reach, registry, syntax
from lm.config.names import ENTRIES
from lm.config.scan import effective, scan
from lm.config.suggest import did_you_mean
from lm.config.syntax import Binding, Reference
from lm.config.text import config_text
from lm.errors import ConfigError


@dataclass(frozen=True)
class Config:
    """A loaded configuration. gin holds one at a time: loading another replaces this one.

    Attributes:
        bindings: what gin was given, one binding a key, full paths.
        modules: modules that files import, in order.
    """

    bindings: tuple[Binding, ...]
    modules: tuple[str, ...]

    def text(self) -> str:
        """Return the whole configuration as one gin file that loads to the same."""
        return config_text(self.bindings, self.modules)

    def has(self, macro: str) -> bool:
        """Tell whether the macro is defined."""
        return macro in macros.table(self.bindings)

    def value(self, macro: str) -> Any:
        """Return what a macro stands for, factories configured and calls called.

        Raises:
            ConfigError: nothing defines it.
        """
        known = macros.table(self.bindings)
        if macro not in known:
            near = did_you_mean(macro, known)
            raise ConfigError(f"no gin file defines {macro}{near}; give --gin.{macro}=VALUE")
        return registry.evaluated(macro)

    def configured(self, path: str) -> Callable[..., Any]:
        """Return a root (`lm.train.train`) with its bindings as defaults."""
        module, _, name = path.rpartition(".")
        found = getattr(importlib.import_module(module), name)
        return registry.configured(registry.register(found, path))


_LOADED: list[Config] = []


def load(
    gin_files: Sequence[str],
    bindings: Sequence[str] = (),
    search_paths: Sequence[str] = (),
    modules: Sequence[str] = (),
    *,
    roots: Sequence[str] = (),
) -> Config:
    """Scan, check and parse gin files and bindings; lock the result in gin.

    Args:
        gin_files: in order, later ones win; searched in the search paths, the current folder and
            the package's gin folder.
        bindings: gin text, after the files.
        search_paths: folders of gin files.
        modules: roots that gin files may import besides the package's own; imported at once.
        roots: what the verb calls or builds, full paths (`lm.train.train`) or macros (`MODEL`);
            what must be set is judged from there, every entry function when empty.

    Raises:
        ConfigError: with file, line, binding and the nearest known name.
    """
    found = scan(gin_files, bindings, search_paths=search_paths, modules=modules)
    registry.clear()
    admit.import_roots(modules)
    for statement in found.imports:
        admit.import_module(statement)
    objects = admit.objects(found.bindings, _called(roots), modules)
    names = {path: registry.register(item, path) for path, item in objects.items()}
    given = [_renamed(binding, names) for binding in found.bindings]
    by_name = {names[path]: item for path, item in objects.items()}
    kept = _checked(given, by_name, roots=[_root(root, names) for root in roots])
    registry.bind(macros.settled(kept))
    config = Config(tuple(kept), tuple(dict.fromkeys(s.module for s in found.imports)))
    _LOADED[:] = [config]
    return config


def loaded() -> Config:
    """Return the configuration that gin holds.

    Raises:
        ConfigError: none was loaded.
    """
    if not _LOADED:
        raise ConfigError("no configuration is loaded: call lm.config.load first")
    return _LOADED[0]


def config_str() -> str:
    """Return the loaded configuration as one gin file."""
    return loaded().text()


def _checked(
    given: Sequence[Binding], objects: Mapping[str, Any], *, roots: Sequence[str]
) -> list[Binding]:
    """Return the bindings to keep: checked, one a key, and such that something can use them."""
    table = macros.table(given)
    last = list(effective(given).values())
    macros.refuse_endless(last, table)
    macros.refuse_undefined(last, table)
    for binding in last:
        if not binding.is_macro:
            parameters.check(binding, objects[binding.target], table)
    kept = reach.usable(given, roots)
    needed = reach.walk(last, roots or ENTRIES).keys
    macros.refuse_required([binding for binding in last if binding.key in needed])
    return kept


def _called(roots: Sequence[str]) -> list[str]:
    """Return the full paths of roots, the verbs' own where their modules are there already."""
    named = [root.rpartition("/")[2] for root in roots]
    there = [path for path in ENTRIES if path.rpartition(".")[0] in sys.modules]
    return [path for path in dict.fromkeys([*named, *there]) if "." in path]


def _root(root: str, names: Mapping[str, str]) -> str:
    """Return a root under gin's name."""
    scope, slash, path = root.rpartition("/")
    return f"{scope}{slash}{names.get(path, path)}"


def _renamed(binding: Binding, names: Mapping[str, str]) -> Binding:
    """Return the binding with gin's names for its target and references."""

    def leaf(value: Any) -> Any:
        if isinstance(value, Reference):
            return replace(value, target=names[value.target])
        return value

    target = names.get(binding.target, binding.target)
    return replace(binding, target=target, value=syntax.mapped(binding.value, leaf))
