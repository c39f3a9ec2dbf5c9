"""The code that a run is made by: a hash of the source files of each part."""

import hashlib
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from lm import config
from lm.errors import ConfigError

LM = Path(config.__file__).parents[1]


def code() -> dict[str, str]:
    """Return part -> 12 hexadecimal digits: the folders of `lm`, what gin files import besides.

    A part of its own are every folder of `lm`, what the tasks share, and each module (a package
    with all its files) that the gin files name.
    """
    parts: dict[str, list[Path]] = defaultdict(list)
    for path in LM.rglob("*.py"):
        parts[".".join(["lm", *path.relative_to(LM).parts[:-1][:1]])].append(path)
    for name in _named():
        parts[name] = _files(name)
    return {name: _hash(files) for name, files in sorted(parts.items()) if files}


def _named() -> list[str]:
    """Return the modules outside `lm` that decide a run; without gin there are none."""
    try:
        modules = config.loaded().modules
    except ConfigError:
        return []
    named = [name for name in modules if name.partition(".")[0] not in ("lm", "keras")]
    return [*named, "tasks.support"] if any(name.startswith("tasks") for name in named) else named


def _files(name: str) -> list[Path]:
    """Return the source files of an imported module, all of the folder if it is a package."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return []
    path = Path(file)
    return list(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]


def _hash(files: Iterable[Path]) -> str:
    """Return a hash of names and contents, wherever the files lie."""
    found = hashlib.sha256()
    for path in sorted(files):
        found.update(f"{path.parent.name}/{path.name}\n".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:12]
