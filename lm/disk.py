"""Atomic writes of files and folders, with one-line errors.

Content is written to a temporary name in the same folder, flushed to disk and renamed: after a kill
or a power cut the file holds either the old content or the new.
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
    """Turns an OSError of the body into a one-line UserError.

    Args:
        path: what is written.
        what: how the message names it, such as "the metrics".

    Raises:
        UserError: see `format_failure`.
    """
    try:
        yield
    except OSError as error:
        raise UserError(format_failure(path, what, error)) from error


def format_failure(path: Path, what: str, error: Exception, *, size: int | None = None) -> str:
    """Returns a message with the path, the size, the free space and what to do.

    Args:
        path: what could not be written.
        what: how the message names it.
        error: the error raised.
        size: bytes needed, if known.
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
    """Writes or replaces a file atomically.

    Args:
        path: the file.
        content: its bytes.
        what: how an error names the file.

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
    """Writes to an unbuffered file; a short write, as on a full disk, is an error.

    Raises:
        OSError: the disk is full.
    """
    if file.write(content) < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def filled(folder: Path, rename: Callable[[Path, Path], None]) -> Iterator[Path]:
    """Gives a temporary folder to fill; on a clean exit it is flushed and renamed to `folder`.

    Args:
        folder: the final name; missing parents are created.
        rename: `replace_folder` or `keep_folder`: what to do if `folder` exists.

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
    """Puts a folder in place of another; after a kill in between, `clean` restores the old one."""
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
    """Renames a folder unless the name is taken: another process has then written the same."""
    if folder.exists():
        return
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def clean(folder: Path) -> None:
    """Deletes what a killed process left half written; only the folder's owner may call this."""
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
    """Deletes a folder; no half-deleted folder is ever left under its name."""
    if folder.exists():
        doomed = _beside(folder)
        folder.rename(doomed)
        # Rename and flush first, so that a crash leaves no partial folder under the name.
        flush(folder.parent)
        shutil.rmtree(doomed, ignore_errors=True)


def make(folder: Path) -> None:
    """Makes a folder and its parents, and flushes each new directory entry to disk."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        flush(path.parent)


def flush(path: Path) -> None:
    """Waits until a file's content, or a folder's entries, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: str | Path) -> str:
    """Returns the hash of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(path: Path) -> Path:
    """Returns a temporary name that is unique among processes and hosts."""
    return path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}")


def _free(path: Path) -> str:
    """Returns the free space on the disk of a path, which need not exist."""
    try:
        there = next(folder for folder in path.absolute().parents if folder.exists())
        return f"{_mebibytes(shutil.disk_usage(there).free)} free"
    except OSError:
        return "no such folder"


def _mebibytes(size: int) -> str:
    """Returns a size in MiB."""
    return f"{size / 2**20:.1f} MiB"
