"""Where data and caches lie, and how a file is opened, plain or gzipped."""

import glob
import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from lm import disk
from lm.errors import UserError

_ROOT = Path(__file__).resolve().parents[2]


def data_dir() -> Path:
    """Returns the folder of the shared data sets.

    It is `LM_DATA_DIR`; without it, `../shared/data` beside the checkout, else beside the
    current folder.
    """
    if named := os.environ.get("LM_DATA_DIR"):
        return Path(named).expanduser()
    beside_checkout = _ROOT.parent / "shared" / "data"
    return beside_checkout if beside_checkout.is_dir() else Path("..", "shared", "data").absolute()


def cache_dir() -> Path:
    """Returns the folder of the caches, `LM_CACHE_DIR` or `~/.cache/seqlm`; safe to delete."""
    return Path(os.environ.get("LM_CACHE_DIR", "~/.cache/seqlm")).expanduser()


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
