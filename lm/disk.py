"""Files and folders that are whole or absent, and one line where they cannot be written.

Content goes to a temporary file in the same folder, is flushed to the disk, and renamed: after a
kill or a power cut there is the old content or the new.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from lm.errors import UserError

TEMPORARY = ".tmp-"
REPLACED = f"{TEMPORARY}replaced-"
_NOT_OURS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}


@contextlib.contextmanager
def writing(path: Path, what: str) -> Iterator[None]:
    """Turn an error of the system into one line.

    Args:
        path: what is written.
        what: the same for a reader: "the metrics".

    Raises:
        UserError: see `format_failure`.
    """
    try:
        yield
    except OSError as error:
        raise UserError(format_failure(path, what, error)) from error


def format_failure(path: Path, what: str, error: Exception, *, size: int | None = None) -> str:
    """Return path, size, bytes free and what to do, in one line.

    Args:
        path: what could not be written.
        what: the same for a reader.
        error: of the system.
        size: bytes that are needed, where they are known.
    """
    reason = " ".join((getattr(error, "strerror", None) or str(error)).split())
    needed = "" if size is None else f"{_mebibytes(size)} needed, "
    is_ours = getattr(error, "errno", None) not in _NOT_OURS
    remedy = "make room" if is_ours else "give another folder"
    return (
        f"cannot write {what} {path} ({needed}{_free(path)}): {reason}; "
        f"{remedy} and run the same command again"
    )


def replace(path: Path, content: bytes, *, what: str) -> None:
    """Write a whole file or none.

    Args:
        path: the file; what is there is replaced.
        content: its bytes.
        what: the file for a reader, if it cannot be written.

    Raises:
        UserError: it cannot be written.
    """
    temporary = _beside(path)
    with writing(path, what):
        try:
            with temporary.open("xb") as file:  # never through a link
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def append(file: IO[bytes], content: bytes) -> None:
    """Write to an unbuffered file, which has no bytes left to write when it is closed.

    Raises:
        OSError: the disk is full.
    """
    if file.write(content) < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def filled(folder: Path, rename: Callable[[Path, Path], None]) -> Iterator[Path]:
    """Give a temporary folder to fill; on a clean exit it becomes `folder`, on the disk too.

    Args:
        folder: the final name; the folders above it are made.
        rename: `replace_folder` or `keep_folder`: what happens to a folder that is there.

    Raises:
        OSError: it cannot be written; nothing is left.
    """
    temporary = _beside(folder)
    try:
        make(folder.parent)
        temporary.mkdir()
        yield temporary
        for path in [*temporary.iterdir(), temporary]:
            flush(path)
        rename(temporary, folder)
        flush(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(temporary: Path, folder: Path) -> None:
    """Rename a folder to the name of another, which `clean` restores after a kill in between."""
    if not folder.exists():
        temporary.rename(folder)
        return
    replaced = folder.with_name(f"{REPLACED}{folder.name}")
    folder.rename(replaced)
    try:
        temporary.rename(folder)
    except OSError:
        replaced.rename(folder)
        raise
    flush(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def keep_folder(temporary: Path, folder: Path) -> None:
    """Rename a folder unless the name is taken: another process has written the same."""
    if folder.exists():
        return
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def clean(folder: Path) -> None:
    """Delete what a killed process left half written; only the folder's owner may."""
    for path in folder.glob(f"{REPLACED}*"):
        original = folder / path.name.removeprefix(REPLACED)
        if not original.exists():
            path.rename(original)
    for path in folder.glob(f"{TEMPORARY}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Delete a folder, never leaving half of one under its name."""
    if folder.exists():
        doomed = _beside(folder)
        folder.rename(doomed)
        # Renamed first, and flushed: a half deleted folder must not have the name.
        flush(folder.parent)
        shutil.rmtree(doomed, ignore_errors=True)


def make(folder: Path) -> None:
    """Make a folder and those above it, so that the disk has every name on the way to it."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        flush(path.parent)


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: str | Path) -> str:
    """Return the hash of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(path: Path) -> Path:
    """Return a temporary name that is unique among processes and hosts."""
    return path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}")


def _free(path: Path) -> str:
    """Return the free space on the disk of a path, which need not exist."""
    try:
        there = next(folder for folder in path.absolute().parents if folder.exists())
        return f"{_mebibytes(shutil.disk_usage(there).free)} free"
    except OSError:
        return "no such folder"


def _mebibytes(size: int) -> str:
    """Return a size for a reader."""
    return f"{size / 2**20:.1f} MiB"
