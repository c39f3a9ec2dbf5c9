"""Processes of one run on this machine: forked after the frameworks are imported."""

import os
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from lm.mesh import cluster


def started(works: Sequence[Callable[[], int]], workdir: Path) -> list[int]:
    """Starts the processes of one run, each with its function; returns their numbers.

    Args:
        works: of each process, what it does; it returns the exit code.
        workdir: the run folder; what process i says is appended to `<workdir>.<i>.log`.
    """
    address = free_address()
    return [
        forked(work, log=Path(f"{workdir}.{index}.log"), place=(address, len(works), index))
        for index, work in enumerate(works)
    ]


def forked(work: Callable[[], int], *, log: Path, place: tuple[str, int, int]) -> int:
    """Runs a function in a new process and ends it with the code returned; returns its number.

    Args:
        work: the function.
        log: file that its output is appended to.
        place: host:port of the first process, how many there are, which one this is.
    """
    child = os.fork()
    if child:
        return child
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    names = (cluster.ADDRESSES, cluster.PROCESSES, cluster.INDEX)
    os.environ |= dict(zip(names, map(str, place), strict=True))
    code = 1
    try:
        code = work()
        jax.distributed.shutdown()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(children: Sequence[int]) -> list[int]:
    """Waits for processes; returns their exit codes."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def free_address() -> str:
    """Returns host:port of a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"
