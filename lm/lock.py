"""One trainer per run folder."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lm import disk
from lm.errors import UserError

NAME = "lock"
# The rank of this process, as the launch script, Slurm, Open MPI or a TPU pod sets it.
_RANKS = ("KERAS_DISTRIBUTION_PROCESS_ID", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "TPU_WORKER_ID")


@contextlib.contextmanager
def lock(workdir: Path) -> Iterator[None]:
    """Holds the lock of a run folder while the body runs; it is released when the process dies.

    Args:
        workdir: the run folder; created if missing.

    Raises:
        UserError: another process holds the lock (the message names its host and pid), the folder
            contains a link, or it cannot be written.
    """
    owner = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
    with disk.writing(workdir, "the run folder"):
        workdir.mkdir(parents=True, exist_ok=True)
        refuse_links(workdir)
        file = open(workdir / NAME, "ab+", buffering=0, opener=_not_a_link)  # noqa: SIM115 - opener
    with file:
        _take(file, workdir)
        with disk.writing(workdir / NAME, "the lock"):
            file.truncate(0)
            disk.append(file, owner)
        yield


def check(workdir: Path) -> None:
    """Refuses a run folder that another process holds, before anything slow starts.

    On a cluster only the first process checks: the others share its run.

    Raises:
        UserError: naming the host and pid of the other process.
    """
    is_first = all(os.environ.get(name, "0") == "0" for name in _RANKS)
    if is_first and (workdir / NAME).is_file():
        with contextlib.suppress(OSError), (workdir / NAME).open("rb") as file:
            _take(file, workdir)


def refuse_links(folder: Path) -> None:
    """Refuses a folder that contains links: writes would land wherever they point.

    The folder itself may be a link.

    Raises:
        UserError: naming the first link.
    """
    if link := next((path for path in sorted(folder.rglob("*")) if path.is_symlink()), None):
        raise UserError(
            f"{link} is a link to {os.readlink(link)}: a run folder must not have links; "
            "remove the link, or give another --workdir"
        )


def _not_a_link(path: str, flags: int) -> int:
    """Opens or creates a file; refuses to follow a link."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _take(file: IO[bytes], workdir: Path) -> None:
    """Locks an open file without waiting."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise UserError(
            f"{workdir} is in use by {_owner(file.read())}; wait for it to end, "
            "or give another --workdir"
        ) from None


def _owner(text: bytes) -> str:
    """Returns who holds the lock, if the file says so."""
    try:
        owner = json.loads(text)
        return f"process {owner['pid']} on {owner['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
