"""Reads gin files and their includes without executing anything; refuses imports not admitted.

gin files are code: with dynamic registration an import runs a module and a reference calls what it
names. So before gin sees a file, every import must lie in an admitted root, and every reference
must consist of an import and one name. `lm.config.admit` then checks the objects themselves.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lm import resources
from lm.config import syntax
from lm.config.names import (
    KERAS_ROOTS,
    OWN_ROOTS,
    Names,
    did_you_mean,
    refuse_module,
    refuse_private,
)
from lm.config.syntax import Binding, Import, Include, Reference
from lm.errors import ConfigError

HERE = "{here}"
"""At the beginning of a string in a gin file: the folder of that file."""

_DYNAMIC = "__gin__.dynamic_registration"
_FLAG_NAME = re.compile(r"\s*([\w./%]+)\s*=[^=]")


@dataclass
class Scan:
    """The statements of gin files and bindings in order, with selectors resolved to full paths.

    Attributes:
        bindings: every binding, overridden ones included.
        imports: every import.
        is_complete: False if a file, or the rest of one, could not be read and the scan continued.
    """

    is_complete: bool = True
    bindings: list[Binding] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    names: Names = field(default_factory=Names)

    def known(self) -> list[str]:
        """The full paths that the bindings name."""
        targets = [binding.target for binding in self.bindings]
        references = [leaf for b in self.bindings for leaf in syntax.references(b.value)]
        return targets + [leaf.target for leaf in references]


def label(path: Path) -> str:
    """Returns the name of a file for messages: relative to the current folder if it is below it."""
    full = path.absolute()
    return str(full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full)


class GinFolders:
    """The folders of gin files, in order: search paths, current folder, the package's own.

    `models/gpt2/small.gin` and `gin/models/gpt2/small.gin` both name the package's file, from a
    checkout and from an installed wheel.
    """

    def __init__(self, search_paths: Sequence[str] = ()) -> None:
        """Checks the search paths.

        Raises:
            ConfigError: one of them is not a folder.
        """
        for path in search_paths:
            if not Path(path).is_dir():
                raise ConfigError(f"--gin_search_paths: {path}: no such folder")
        self._own = resources.gin_folder()
        self._folders = [*map(Path, search_paths), Path(), self._own]

    def file(self, name: str) -> Path:
        """Returns the file that `--gin_file` names; it may lie anywhere.

        Raises:
            ConfigError: it does not exist; the message suggests a file of the package.
        """
        for candidate in self._candidates(name):
            if candidate.is_file():
                return candidate
        raise ConfigError(f"--gin_file={name}: {self._missing(name)}")

    def include(self, name: str) -> Path:
        """Returns the file that an `include` names; it must lie under one of the folders.

        Raises:
            ConfigError: it does not exist, or lies outside.
        """
        found = [candidate for candidate in self._candidates(name) if candidate.is_file()]
        if not found:
            raise ConfigError(f"include '{name}': {self._missing(name)}")
        for candidate in found:
            if self._is_inside(candidate):
                return candidate
        raise ConfigError(
            f"include '{name}': lies outside the search folders; name its folder in "
            "--gin_search_paths"
        )

    def _candidates(self, name: str) -> list[Path]:
        """Returns the paths that a name may refer to."""
        if os.path.isabs(name):
            return [Path(name)]
        candidates = [folder / name for folder in self._folders]
        if Path(name).parts[:1] == ("gin",):
            candidates.append(self._own.parent / name)
        return candidates

    def _is_inside(self, path: Path) -> bool:
        """Returns whether the file, after resolving links, lies under one of the folders."""
        real = path.resolve()
        return any(real.is_relative_to(folder.resolve()) for folder in self._folders)

    def _missing(self, name: str) -> str:
        """Returns the message if no candidate is a file."""
        if any(candidate.is_dir() for candidate in self._candidates(name)):
            return "is a folder, not a gin file"
        own = [str(path.relative_to(self._own)) for path in self._own.rglob("*.gin")]
        bare = name.removeprefix("gin/")
        if os.path.isabs(name):
            return f"no such file{did_you_mean(bare, own)}"
        folders = ", ".join(str(folder) for folder in self._folders)
        return f"no such file in {folders}{did_you_mean(bare, own)}"


def scan(
    gin_files: Sequence[str],
    bindings: Sequence[str] = (),
    *,
    search_paths: Sequence[str] = (),
    modules: Sequence[str] = (),
    on_error: Callable[[ConfigError], None] | None = None,
) -> Scan:
    """Reads the files in order, then the bindings of the command line.

    Args:
        gin_files: names as given to `--gin_file`.
        bindings: gin text, one or more statements each.
        search_paths: folders of gin files, before the current one and the package's.
        modules: roots that gin files may import besides the package's own.
        on_error: called with every error, after which the scan continues; by default the first one
            is raised.

    Raises:
        ConfigError: a missing file, a syntax error, a duplicate, anything not admitted.
    """
    roots = (*OWN_ROOTS, *KERAS_ROOTS, *modules)
    reader = _Reader(GinFolders(search_paths), roots, on_error or _raise)
    for name in gin_files:
        with reader.incomplete_on_error():
            reader.read(reader.folders.file(name), open_files=())
    for text in bindings:
        reader.read_flag(text)
    return reader.scan


def _raise(error: ConfigError) -> None:
    """Raises the error."""
    raise error


class _Reader:
    """Collects a scan; every text has its own imports, as in gin."""

    def __init__(
        self, folders: GinFolders, roots: Sequence[str], on_error: Callable[[ConfigError], None]
    ) -> None:
        self.folders = folders
        self.scan = Scan()
        self._roots = roots
        self._on_error = on_error

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
        """Reports an error of the body and continues."""
        try:
            yield
        except ConfigError as error:
            self._on_error(error)

    @contextlib.contextmanager
    def incomplete_on_error(self) -> Iterator[None]:
        """Reports an error of the body, after which the scan is incomplete."""
        with self.reported():
            try:
                yield
            except ConfigError:
                self.scan.is_complete = False
                raise

    def read(self, path: Path, *, open_files: tuple[Path, ...]) -> None:
        """Reads a file and, in place, its includes."""
        names = Names()
        mine: dict[tuple[str, str, str], Binding] = {}
        name = label(path)
        with self.incomplete_on_error():  # a syntax error ends the file
            for statement in syntax.statements(syntax.read(path, name), name):
                with self.reported():
                    if isinstance(statement, Import):
                        self._import(statement, names)
                    elif isinstance(statement, Include):
                        self._include(statement, (*open_files, path.resolve()))
                    else:
                        binding = located(self._resolved(statement, names), path.absolute().parent)
                        self.scan.bindings.append(binding)
                        _refuse_duplicate(mine, binding)

    def read_flag(self, text: str) -> None:
        """Reads the binding of a flag, which may use the imports of all files."""
        name = _FLAG_NAME.match(text)
        flag = f"--gin.{name[1]}" if name else "--gin_bindings"
        with self.reported():
            for statement in syntax.statements(text, flag, is_flag=True):
                if isinstance(statement, Import):
                    self._import(statement, self.scan.names)
                elif isinstance(statement, Include):
                    self._include(statement, ())
                else:
                    self.scan.bindings.append(self._resolved(statement, self.scan.names))

    def _import(self, statement: Import, names: Names) -> None:
        """Records an admitted import; `from __gin__` is a feature switch, not a module."""
        if statement.module == _DYNAMIC:
            names.is_strict = True
            return
        refuse_module(statement, self._roots)
        names.add(statement)
        self.scan.names.add(statement)
        self.scan.imports.append(statement)

    def _include(self, statement: Include, open_files: tuple[Path, ...]) -> None:
        """Reads an included file in place of its include."""
        with self.incomplete_on_error():
            try:
                path = self.folders.include(statement.name)
            except ConfigError as error:
                raise ConfigError(f"{statement.origin}: {error}") from error
            if path.resolve() in open_files:
                raise ConfigError(f"{statement.origin}: include '{statement.name}' includes itself")
            self.read(path, open_files=open_files)

    def _resolved(self, binding: Binding, names: Names) -> Binding:
        """Returns the binding with its target and references resolved to full paths.

        A file without dynamic registration has no imports: like a flag, it sees those of all files
        read before.
        """
        seen = names if names.is_strict else self.scan.names.joined(names)

        def full(selector: str) -> str:
            resolve = seen.full if names.is_strict else seen.loose
            path = resolve(selector, binding.origin, self.scan.known())
            refuse_private(path, binding.origin)
            return path

        def leaf(value: Any) -> Any:
            if isinstance(value, Reference):
                return replace(value, target=full(value.target))
            return value

        target = binding.target if binding.is_macro else full(binding.target)
        return replace(binding, target=target, value=syntax.mapped(binding.value, leaf))


def located(binding: Binding, folder: Path) -> Binding:
    """Replaces `{here}` at the beginning of strings by the folder of the file."""

    def leaf(value: Any) -> Any:
        if isinstance(value, str) and value.startswith(HERE):
            return f"{folder}{value.removeprefix(HERE)}"
        return value

    return replace(binding, value=syntax.mapped(binding.value, leaf))


def _refuse_duplicate(mine: dict[tuple[str, str, str], Binding], binding: Binding) -> None:
    """Refuses a second binding of the same name in a file."""
    before = mine.setdefault(binding.key, binding)
    if before is not binding:
        raise ConfigError(
            f"{binding.origin}: {binding.written} is bound twice; line {before.origin.line} of the "
            "same file binds it too"
        )


def effective(bindings: Iterable[Binding]) -> dict[tuple[str, str, str], Binding]:
    """Returns the last binding of every key, in the order of first appearance."""
    return {binding.key: binding for binding in bindings}
