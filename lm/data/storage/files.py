"""The folders of data and caches; opening files and writing cache folders atomically."""

import contextlib
import glob
import gzip
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from lm import disk
from lm.errors import UserError

MANIFEST = "MANIFEST.json"


def data_dir() -> Path:
    """Returns the folder of local data sets: `LM_DATA_DIR`, by default `~/.local/share/seqlm`."""
    return _folder("LM_DATA_DIR", "XDG_DATA_HOME", "~/.local/share")


def cache_dir() -> Path:
    """Returns the folder of caches: `LM_CACHE_DIR`, by default `~/.cache/seqlm`; safe to delete."""
    return _folder("LM_CACHE_DIR", "XDG_CACHE_HOME", "~/.cache")


def _folder(ours: str, base: str, default: str) -> Path:
    """Returns the folder that one environment variable names, else ours in the base folder.

    The base folders are those of the XDG Base Directory Specification.
    """
    named = os.environ.get(ours) or Path(os.environ.get(base) or default) / "seqlm"
    return Path(named).expanduser()


def expand(patterns: str | Path | Sequence[str | Path]) -> list[Path]:
    """Returns the files of paths or globs, each glob's in sorted order.

    Args:
        patterns: a path or glob, or several, relative to the current folder.

    Raises:
        UserError: a pattern matches no file.
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
    """Opens a file for reading bytes; decompresses names ending in `.gz`.

    Raises:
        UserError: the file cannot be opened.
    """
    try:
        if str(path).endswith(".gz"):
            return gzip.open(path, "rb")  # type: ignore[return-value]
        return open(path, "rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def fingerprint(paths: Sequence[str | Path]) -> list[dict[str, str | int]]:
    """Returns name, size and SHA-256 of each file, by which a run recognizes its data.

    Without folders: the same files elsewhere are the same data.
    """
    return [
        {"file": Path(path).name, "size": os.path.getsize(path), "sha256": disk.sha256(path)}
        for path in paths
    ]


@contextlib.contextmanager
def publish(folder: Path, metadata: dict[str, Any]) -> Iterator[Path]:
    """Yields a temporary folder to fill, which becomes `folder` on a clean exit.

    The manifest lists size and SHA-256 of every file. If another process was faster, its folder
    stays.

    Args:
        folder: the folder to create.
        metadata: the manifest's other entries; may be filled while writing.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    try:
        with disk.filled(folder, disk.keep_folder) as temporary:
            yield temporary
            _write_manifest(temporary, metadata)
    except OSError as error:
        message = disk.format_failure(folder, "the cache", error)
        raise UserError(f"{message}, or set LM_CACHE_DIR to another disk") from error


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Returns the manifest of a published folder, None if there is no such folder.

    Raises:
        UserError: a file is missing or has the wrong size.
    """
    if not folder.is_dir():
        return None
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise _damaged(folder / MANIFEST, folder, "unreadable") from error
    for name, expected in manifest["files"].items():
        path = folder / name
        size = path.stat().st_size if path.exists() else 0
        if size != expected["size"]:
            raise _damaged(path, folder, f"{size} bytes of {expected['size']}")
    return manifest


def verify(folder: Path, manifest: dict[str, Any]) -> None:
    """Checks the SHA-256 of every file of a published folder.

    Raises:
        UserError: a file differs.
    """
    for name, expected in manifest["files"].items():
        if disk.sha256(folder / name) != expected["sha256"]:
            raise _damaged(folder / name, folder, "contents changed")


def _damaged(path: Path, folder: Path, what: str) -> UserError:
    return UserError(f"{path}: damaged cache file ({what}); delete {folder} to have it rebuilt")


def _write_manifest(folder: Path, metadata: dict[str, Any]) -> None:
    listed = {}
    for path in sorted(folder.iterdir()):
        listed[path.name] = {"size": path.stat().st_size, "sha256": disk.sha256(path)}
    text = json.dumps({**metadata, "files": listed}, indent=1)
    (folder / MANIFEST).write_text(text)
