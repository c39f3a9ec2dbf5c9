"""Folders that appear whole or not at all, with a manifest of what they must hold."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lm import disk
from lm.errors import UserError

MANIFEST = "MANIFEST.json"


@contextlib.contextmanager
def publish(folder: Path, metadata: dict[str, Any]) -> Iterator[Path]:
    """Gives a temporary folder to fill; on a clean exit it becomes `folder`, complete.

    The manifest lists size and SHA-256 of every file. If another process was faster, its folder
    stays.

    Args:
        folder: the folder to make.
        metadata: what the manifest says besides the files; may be filled while writing.

    Raises:
        UserError: if the disk is full or the folder cannot be written.
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
        UserError: if a file is missing or has another size than was written.
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
        UserError: naming the first file that differs.
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
