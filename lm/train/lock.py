"""One trainer per run folder."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from lm.errors import UserError


@contextlib.contextmanager
def lock(workdir: Path) -> Iterator[None]:
    """Hold the run folder while the body runs; the system lets go when the process dies.

    Args:
        workdir: the run folder; it is made if it is not there.

    Raises:
        UserError: another process holds it; the message names its host and number.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"{workdir} is in use by {_owner(file.read())}; wait for it to end, "
                "or give another --workdir"
            ) from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        file.flush()
        yield


def _owner(text: str) -> str:
    """Return who holds the lock, as far as the file tells."""
    try:
        owner = json.loads(text)
        return f"process {owner['pid']} on {owner['host']}"
    except (ValueError, KeyError):
        return "another process"
