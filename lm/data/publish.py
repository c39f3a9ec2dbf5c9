"""Folders that appear whole or not at all, with a manifest that tells what they must hold."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lm.data import files
from lm.errors import UserError

MANIFEST = "MANIFEST.json"


@contextlib.contextmanager
def publish(folder: Path, facts: dict[str, Any]) -> Iterator[Path]:
    """Gives a temporary folder to fill; on a clean exit it becomes `folder`, complete.

    Files are flushed to disk, listed in the manifest with size and SHA-256, and the folder is
    renamed. If another process was faster, its folder stays.

    Args:
        folder: the folder to make.
        facts: what the manifest says besides the files; may be filled while writing.

    Raises:
        UserError: if the disk is full or the folder cannot be written.
    """
    temporary = folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
        yield temporary
        _write_manifest(temporary, facts)
        _flush(temporary)
        with contextlib.suppress(FileExistsError):
            _rename(temporary, folder)
        _flush(folder.parent)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{folder}: cannot be written ({reason}); set LM_CACHE_DIR") from error
    finally:
        if temporary != folder:
            shutil.rmtree(temporary, ignore_errors=True)


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
        if files.sha256(folder / name) != expected["sha256"]:
            raise _damaged(folder / name, folder, "contents changed")


def _damaged(path: Path, folder: Path, what: str) -> UserError:
    return UserError(f"{path}: damaged cache file ({what}); delete {folder} to have it rebuilt")


def _write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    listed = {}
    for path in sorted(folder.iterdir()):
        listed[path.name] = {"size": path.stat().st_size, "sha256": files.sha256(path)}
        _flush(path)
    text = json.dumps({**facts, "files": listed}, indent=1)
    (folder / MANIFEST).write_text(text)
    _flush(folder / MANIFEST)


def _rename(source: Path, target: Path) -> None:
    """Renames a folder unless the target is there already."""
    if target.exists():
        raise FileExistsError(target)
    try:
        os.rename(source, target)
    except OSError as error:
        if not target.exists():
            raise
        raise FileExistsError(target) from error


def _flush(path: Path) -> None:
    """Waits until a file or folder is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
