"""Blocks side effects while a configuration is evaluated or a model is built from it.

`lm.parts` limits what a gin file can name to parts, which only compute. This is the second line of
defence: an audit hook of Python refuses to start a process, open a connection, load machine code,
read a pickle, change files outside the caches, or import what is neither installed nor named by
`--gin_modules`.

The hook is per process and cannot be removed; outside `wall`, and in other threads, it reads one
variable and returns. What libraries do outside Python (XLA's compiler, TensorFlow's file access)
raises no audit event.
"""

import os
import platform
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from lm.data.storage.files import cache_dir
from lm.errors import ConfigError
from lm.scoped import scoped

_STARTS = ("system", "exec", "fork", "forkpty", "posix_spawn", "spawn", "startfile")
_CHANGES = ("remove", "rename", "rmdir", "mkdir", "link", "symlink", "truncate", "chmod", "chown")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PACKAGE = Path(__file__).parent

# Shipped models need less than a tenth of this.
_MOST_PARTS = 20_000


class _Work(NamedTuple):
    """What is being evaluated or built.

    Attributes:
        binding: its binding.
        outermost: the outermost binding around it.
        parts: counts the parts made for the outermost binding.
    """

    binding: str
    outermost: str
    parts: Iterator[int]


_WORK: ContextVar[_Work | None] = ContextVar("work", default=None)
_INSTALLED: list[Callable[..., None]] = []
_TRUSTED: list[str] = []


@contextmanager
def wall(binding: str) -> Iterator[None]:
    """Refuses the side effects listed above while the body runs, and an excessive number of parts.

    Args:
        binding: what is evaluated or built, for the message.

    Raises:
        ConfigError: the body attempts one of them; the message names the binding.
    """
    if not _INSTALLED:
        platform.processor()  # starts `uname` and caches the answer; TFDS needs it later
        sys.addaudithook(_watch)
        _INSTALLED.append(_watch)
    outer = _WORK.get()
    work = outer._replace(binding=binding) if outer else _Work(binding, binding, count())
    if next(work.parts) > _MOST_PARTS:
        raise ConfigError(
            f"{work.outermost} is made of more than {_MOST_PARTS:,} parts; take fewer layers"
        )
    with scoped(_WORK, value=work):
        yield


def trust(modules: Iterable[str]) -> None:
    """Lets the user's modules (already imported) import their own submodules."""
    found = [sys.modules[name] for name in modules if name in sys.modules]
    _TRUSTED[:] = [
        str(path)
        for module in found
        for path in getattr(module, "__path__", [getattr(module, "__file__", None)])
        if path
    ]


def _watch(event: str, given: tuple[Any, ...]) -> None:
    """Raises for what the wall refuses; Python calls this before it acts."""
    work = _WORK.get()
    if work and (refused := deed(event, given)):
        raise ConfigError(
            f"{work.binding} may not {refused}: a configuration only makes parts; what does more "
            "is called from Python"
        )


def deed(event: str, given: tuple[Any, ...]) -> str | None:
    """Describes what the wall refuses in an event; None if it is allowed."""
    family, _, name = event.partition(".")
    judge = _JUDGES.get(event) or _JUDGES.get(family)
    return judge(name, given) if judge else None


def _process(name: str, given: tuple[Any, ...]) -> str:
    return f"start a process ({_shown(given[0] if given else name)})"


def _connection(name: str, given: tuple[Any, ...]) -> str:
    return f"use the network (socket.{name})"


def _machine_code(name: str, given: tuple[Any, ...]) -> str:
    return f"load machine code (ctypes.{name} {_shown(given[0] if given else '')})"


def _pickle(name: str, given: tuple[Any, ...]) -> str:
    return f"read a pickle (of {_shown('.'.join(map(str, given)))})"


def _system(name: str, given: tuple[Any, ...]) -> str | None:
    """Describes what is refused of a function of `os`."""
    if name in _STARTS:
        return _process(name, given)
    if name in ("kill", "killpg"):
        return f"send process {given[0]} a signal"
    if name not in _CHANGES:
        return None
    paths = [path for path in given if isinstance(path, str | bytes | os.PathLike)]
    outside = [path for path in paths if not _is_cache(path)]
    return f"{name} {_shown(outside[0])}" if outside else None


def _opening(name: str, given: tuple[Any, ...]) -> str | None:
    """Describes what is refused of opening a file."""
    path, mode, flags = given
    if isinstance(path, int):
        return None
    if (flags or 0) & _WRITES or set(mode or "") & set("wax+"):
        return None if _is_cache(path) else f"write {_shown(path)}"
    is_code = os.fsdecode(path).endswith(".pyc")
    return f"import {_shown(path)}" if is_code and not _is_installed(path) else None


def _execution(name: str, given: tuple[Any, ...]) -> str | None:
    """Describes what is refused of executing code; code without a file is already loaded."""
    path = getattr(given[0], "co_filename", "<string>")
    return None if path.startswith("<") or _is_installed(path) else f"import {_shown(path)}"


def _extension(name: str, given: tuple[Any, ...]) -> str | None:
    """Describes what is refused of importing a compiled module; others raise `exec` events."""
    path = given[1]
    return None if path is None or _is_installed(path) else f"import {_shown(path)}"


_JUDGES: Mapping[str, Callable[[str, tuple[Any, ...]], str | None]] = {
    "os": _system,
    "subprocess": _process,
    "pty": _process,
    "socket": _connection,
    "ctypes": _machine_code,
    "pickle": _pickle,
    "open": _opening,
    "exec": _execution,
    "import": _extension,
}


def _is_cache(path: Any) -> bool:
    """Returns whether a path lies in a cache: of data, JAX's programs or Python's byte code."""
    real = os.path.realpath(os.fsdecode(path))
    if real == os.devnull:
        return True
    if Path(real).parent.name == "__pycache__" and ".pyc" in Path(real).suffixes:
        return _is_installed(real)
    caches = [str(cache_dir()), os.environ.get("JAX_COMPILATION_CACHE_DIR", "")]
    return _lies_in(real, filter(None, caches))


def _is_installed(path: Any) -> bool:
    """Returns whether code belongs to this package, `tasks`, an installed or a trusted module."""
    folders = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    folders += [str(_PACKAGE), str(_PACKAGE.with_name("tasks")), *_TRUSTED]
    return _lies_in(os.path.realpath(os.fsdecode(path)), folders)


def _lies_in(real: str, folders: Iterable[str]) -> bool:
    """Returns whether a resolved path is one of the folders or below one."""
    roots = [os.path.realpath(folder) for folder in folders]
    return any(real == root or real.startswith(f"{root}{os.sep}") for root in roots)


def _shown(given: Any) -> str:
    """Returns the argument of an event on one line."""
    words = given if isinstance(given, list | tuple) else [given]
    text = " ".join(os.fsdecode(w) if isinstance(w, bytes) else str(w) for w in words)
    return repr(text if len(text) <= 80 else f"{text[:77]}...")  # noqa: PLR2004 - one line
