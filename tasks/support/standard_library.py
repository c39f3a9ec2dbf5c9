"""The standard library of the running interpreter as text, read from its files without importing.

Modules are split by family, i.e. by top-level name without the marks of a pure-Python twin (`_pyio`
goes with `io`), so that near-duplicates are in the same split.
"""

import ast
import hashlib
import os
import platform
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lm.errors import UserError

RULES = 1  # to be increased when a change below changes the texts or the splits
SPLITS = ("train", "validation", "test")
# Packages that some distributions leave out, tests, and tables with little text.
LEFT_OUT = frozenset(
    "__pycache__ distutils encodings ensurepip idlelib idle_test lib-dynload lib2to3 pydoc_data "
    "site-packages dist-packages test tests tkinter turtledemo venv".split()
)
MACHINE_MADE = ("_sysconfigdata", "config-")  # differ from build to build
# The salt for which the two small splits have similar sizes on Python 3.11, 3.12 and 3.13.
SALT = "17"
SHARES = 20  # families are divided into 20 shares: one validation, one test, the others train


class Module(NamedTuple):
    """A source file of the library and its path relative to the library's root, with slashes."""

    name: str
    path: Path


def root() -> Path:
    """Folder of the running interpreter's standard library.

    Raises:
        UserError: the interpreter has no source files.
    """
    folder = Path(sysconfig.get_paths()["stdlib"])
    if not (folder / "heapq.py").is_file():
        raise UserError(
            f"{folder} holds no source files of the standard library; "
            "use an interpreter that was installed with them"
        )
    return folder


def fingerprint() -> dict[str, str | int]:
    """Everything that determines the texts: the interpreter's version, RULES and file sizes."""
    found = list(modules(root()))
    sizes = "".join(f"{module.name} {module.path.stat().st_size}\n" for module in found)
    return {
        "python": platform.python_version(),
        "rules": RULES,
        "files": hashlib.sha256(sizes.encode()).hexdigest(),
    }


def modules(folder: Path) -> Iterator[Module]:
    """All Python files of the library except tests, tables and the like, sorted by name."""
    paths = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_left_out(name)]
        paths += [Path(parent, name) for name in files if name.endswith(".py")]
    found = [Module(path.relative_to(folder).as_posix(), path) for path in paths]
    yield from sorted(module for module in found if not is_left_out(module.name))


def is_left_out(name: str) -> bool:
    """Whether a file is a test, optional, machine-made or a table.

    Example:
        >>> is_left_out("email/mime/text.py"), is_left_out("unittest/test/testmock/support.py")
        (False, True)
    """
    parts = name.split("/")
    return not LEFT_OUT.isdisjoint(parts) or parts[0].startswith(MACHINE_MADE)


def family(name: str) -> str:
    """The name that near-duplicates share: the top level without the marks of a twin.

    Example:
        >>> family("_pyio.py"), family("io.py"), family("_collections_abc.py")
        ('io', 'io', 'collections')
    """
    top = name.split("/")[0].removesuffix(".py")
    return top.lstrip("_").removeprefix("py").split("_")[0]


def split_of(name: str) -> str:
    """The split of a module's family, by hash; the same on every machine.

    Example:
        >>> split_of("json/decoder.py") == split_of("json/encoder.py")
        True
    """
    digest = hashlib.sha256(f"{SALT}/{family(name)}".encode()).hexdigest()
    share = int(digest[:8], 16) % SHARES
    return {0: "validation", 1: "test"}.get(share, "train")


def docstrings(source: str) -> list[str]:
    """Docstrings of a module, its classes and functions, without indentation, in file order."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, documented)]
    nodes.sort(key=lambda node: getattr(node, "lineno", 0))
    texts = [ast.get_docstring(node) or "" for node in nodes]
    return [text.strip() for text in texts if text.strip()]


def topics(folder: Path) -> dict[str, str]:
    """The topics of the language reference that `help()` shows: title -> text."""
    source = (folder / "pydoc_data" / "topics.py").read_text("utf-8")
    (table,) = [
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
    ]
    return dict(sorted(ast.literal_eval(table).items()))


class Unseen:
    """Remembers texts by content hash, to keep only the first of equal ones."""

    def __init__(self) -> None:
        self._hashes: set[bytes] = set()

    def __call__(self, text: str) -> bool:
        """Returns whether the text is new."""
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        if digest in self._hashes:
            return False
        self._hashes.add(digest)
        return True
