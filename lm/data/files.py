"""Where data and caches lie, and how a file is opened, plain or gzipped."""

import glob
import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from lm import disk
from lm.errors import UserError


def data_dir() -> Path:
    """Returns the folder of local data sets: `LM_DATA_DIR`, by default `~/.local/share/seqlm`."""
    return _folder("LM_DATA_DIR", "XDG_DATA_HOME", "~/.local/share")


def cache_dir() -> Path:
    """Returns the folder of caches: `LM_CACHE_DIR`, by default `~/.cache/seqlm`; safe to delete."""
    return _folder("LM_CACHE_DIR", "XDG_CACHE_HOME", "~/.cache")


def _folder(ours: str, base: str, default: str) -> Path:
    """Returns the folder that one variable names, else ours in the user's base folder.

    The base folders are those of the XDG Base Directory Specification.
    """
    named = os.environ.get(ours) or Path(os.environ.get(base) or default) / "seqlm"
    return Path(named).expanduser()


def expand(patterns: str | Path | Sequence[str | Path]) -> list[Path]:
    """Returns the files that paths or globs name, each glob's in sorted order.

    Args:
        patterns: a path or glob, or several. Relative ones start at the current folder.

    Raises:
        UserError: if a pattern names no file.
    """
    several = [patterns] if isinstance(patterns, str | Path) else list(patterns)
    found: list[Path] = []
    for pattern in several:
        names = sorted(glob.glob(os.path.expanduser(str(pattern)), recursive=True))
        files = [Path(name) for name in names if os.path.isfile(name)]
        if not files:
            raise UserError(f"no file matches {str(pattern)!r}; give an existing path or glob")
        found.extend(files)
    return found


def open_binary(path: str | Path) -> IO[bytes]:
    """Opens a file for reading bytes; a name ending in `.gz` is decompressed on the way.

    Raises:
        UserError: if the file cannot be opened.
    """
    try:
        if str(path).endswith(".gz"):
            return gzip.open(path, "rb")  # type: ignore[return-value]
        return open(path, "rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def fingerprint(paths: Sequence[str | Path]) -> list[dict[str, str | int]]:
    """Returns name, size and SHA-256 of each file: what a run remembers of its data.

    Folders are left out on purpose: the same files elsewhere are the same data.
    """
    return [
        {"file": Path(path).name, "size": os.path.getsize(path), "sha256": disk.sha256(path)}
        for path in paths
    ]
