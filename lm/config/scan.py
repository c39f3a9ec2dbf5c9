"""Reads gin files and their includes without executing anything, and refuses what is not admitted.

gin files are code: with dynamic registration an import runs a module and a reference calls what it
names. So before gin sees a file, every import must lie in an admitted root and every reference
must be an import and one name. `lm.config.admit` then checks the objects themselves.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lm.config import syntax
from lm.config.files import Search, label
from lm.config.names import Names
from lm.config.suggest import did_you_mean
from lm.config.syntax import Binding, Import, Include, Origin, Reference
from lm.errors import ConfigError

OWN_ROOTS = ("lm", "tasks")
KERAS_ROOTS = tuple(
    f"keras.{name}"
    for name in ("layers", "optimizers", "initializers", "losses", "metrics", "activations")
)
# Commands and the configuration itself are no parts of a model.
REFUSED = ("lm.cli", "lm.config")
_DYNAMIC = "__gin__.dynamic_registration"
_FLAG_NAME = re.compile(r"\s*([\w./%]+)\s*=[^=]")


@dataclass
class Scan:
    """What a set of gin files and bindings says, selectors made full paths, later ones last.

    Attributes:
        bindings: every binding, overridden ones included.
        imports: every import, in order.
    """

    bindings: list[Binding] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    names: Names = field(default_factory=Names)

    def known(self) -> list[str]:
        """Return the full paths that the bindings name."""
        targets = [binding.target for binding in self.bindings]
        values = [leaf for binding in self.bindings for leaf in syntax.leaves(binding.value)]
        return targets + [leaf.target for leaf in values if isinstance(leaf, Reference)]


def scan(
    gin_files: Sequence[str],
    bindings: Sequence[str] = (),
    *,
    search_paths: Sequence[str] = (),
    modules: Sequence[str] = (),
) -> Scan:
    """Read the files in order, then the bindings of the command line.

    Args:
        gin_files: names as given to `--gin_file`.
        bindings: gin text, one or more statements each.
        search_paths: folders of gin files, before the current one and the package's.
        modules: roots that gin files may import besides the package's own.

    Raises:
        ConfigError: a missing file, a syntax error, a duplicate, anything not admitted.
    """
    reader = _Reader(Search(search_paths), roots=(*OWN_ROOTS, *KERAS_ROOTS, *modules))
    for name in gin_files:
        reader.read(reader.search.file(name), open_files=())
    for text in bindings:
        reader.read_flag(text)
    return reader.scan


class _Reader:
    """Gathers one scan; every text has its own imports, as in gin."""

    def __init__(self, search: Search, roots: Sequence[str]) -> None:
        self.search = search
        self.scan = Scan()
        self._roots = roots

    def read(self, path: Path, *, open_files: tuple[Path, ...]) -> None:
        """Read one file and, where they stand, its includes."""
        names = Names()
        is_dynamic = False
        mine: dict[tuple[str, str, str], Binding] = {}
        name = label(path)
        for statement in syntax.statements(syntax.read(path, name), name):
            if isinstance(statement, Import):
                is_dynamic = is_dynamic or statement.module == _DYNAMIC
                self._import(statement, names)
            elif isinstance(statement, Include):
                self._include(statement, (*open_files, path.resolve()))
            else:
                binding = self._resolved(statement, names, is_strict=is_dynamic)
                _refuse_duplicate(mine, binding)
                self.scan.bindings.append(binding)

    def read_flag(self, text: str) -> None:
        """Read what a flag binds; it may use the imports of every file."""
        name = _FLAG_NAME.match(text)
        flag = f"--gin.{name[1]}" if name else "--gin_bindings"
        for statement in syntax.statements(text, flag, is_flag=True):
            if isinstance(statement, Import):
                self._import(statement, self.scan.names)
            elif isinstance(statement, Include):
                self._include(statement, ())
            else:
                resolved = self._resolved(statement, self.scan.names, is_strict=False)
                self.scan.bindings.append(resolved)

    def _import(self, statement: Import, names: Names) -> None:
        """Record an admitted import; gin's own feature switch names no module."""
        if statement.module == _DYNAMIC:
            return
        refuse_module(statement, self._roots)
        names.add(statement)
        self.scan.names.add(statement)
        self.scan.imports.append(statement)

    def _include(self, statement: Include, open_files: tuple[Path, ...]) -> None:
        """Read an included file where its include stands."""
        try:
            path = self.search.include(statement.name)
        except ConfigError as error:
            raise ConfigError(f"{statement.origin}: {error}") from error
        if path.resolve() in open_files:
            raise ConfigError(f"{statement.origin}: include '{statement.name}' includes itself")
        self.read(path, open_files=open_files)

    def _resolved(self, binding: Binding, names: Names, *, is_strict: bool) -> Binding:
        """Return the binding with full paths for its target and its references."""

        def full(selector: str) -> str:
            resolve = names.full if is_strict else names.loose
            path = resolve(selector, binding.origin, self.scan.known())
            refuse_private(path, binding.origin)
            return path

        def leaf(value: Any) -> Any:
            if isinstance(value, Reference):
                return replace(value, target=full(value.target))
            return value

        target = binding.target if binding.is_macro else full(binding.target)
        return replace(binding, target=target, value=syntax.mapped(binding.value, leaf))


def refuse_module(statement: Import, roots: Sequence[str]) -> None:
    """Raise unless the module lies in one of the roots.

    Raises:
        ConfigError: it does not, or it is private machinery.
    """
    module, origin = statement.module, statement.origin
    if statement.prefix == "gin" or module.startswith("__gin__"):
        raise ConfigError(f"{origin}: the name 'gin' is gin's own; import with `as`")
    refuse_private(module, origin)
    if lies_in(module, REFUSED):
        raise ConfigError(f"{origin}: a gin file may not import '{module}'")
    if not lies_in(module, roots):
        raise ConfigError(
            f"{origin}: '{module}' is not admitted{did_you_mean(module, roots)}; if you trust it, "
            f"add --gin_modules={module.split('.')[0]}"
        )


def refuse_private(path: str, origin: Origin) -> None:
    """Raise for a path with a name that begins with an underscore.

    Raises:
        ConfigError: it has one.
    """
    if private := [part for part in path.split(".") if part.startswith("_")]:
        raise ConfigError(f"{origin}: '{private[0]}' in '{path}' is private; gin files name parts")


def lies_in(name: str, roots: Iterable[str]) -> bool:
    """Tell whether a dotted name is one of the roots or below one.

    Example:
        >>> lies_in("lm.nn.attention", ["lm"]), lies_in("lmx", ["lm"])
        (True, False)
    """
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def _refuse_duplicate(mine: dict[tuple[str, str, str], Binding], binding: Binding) -> None:
    """Raise when the same file has bound the same thing before."""
    before = mine.setdefault(binding.key, binding)
    if before is not binding:
        raise ConfigError(
            f"{binding.origin}: {binding.written} is bound twice; line {before.origin.line} of the "
            "same file binds it too"
        )


def effective(bindings: Iterable[Binding]) -> dict[tuple[str, str, str], Binding]:
    """Return the last binding of every key, in the order of first appearance."""
    return {binding.key: binding for binding in bindings}
