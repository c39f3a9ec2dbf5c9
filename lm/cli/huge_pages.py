"""Restarts a command with huge pages for its memory, where the kernel lets programs choose.

Every training step allocates its buffers anew. With pages of 4 KiB this causes tens of thousands of
page faults a second; glibc (2.35 and later) requests pages of 2 MiB if GLIBC_TUNABLES has
`glibc.malloc.hugetlb=1` when the process starts.
"""

import os
import re
import sys
from pathlib import Path

TUNABLES = "GLIBC_TUNABLES"
TUNABLE = "glibc.malloc.hugetlb"
PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
FIRST_GLIBC = (2, 35)


def restart() -> None:
    """Replaces this process by the same command with huge pages; returns if that has no effect.

    A value that is already set is kept: `GLIBC_TUNABLES=glibc.malloc.hugetlb=0` disables this.
    """
    tunables = os.environ.get(TUNABLES, "")
    if TUNABLE in tunables or not is_left_to_programs() or not is_known_to_glibc():
        return
    value = ":".join(filter(None, [tunables, f"{TUNABLE}=1"]))
    sys.stdout.flush()
    os.execve(sys.executable, sys.orig_argv, os.environ | {TUNABLES: value})


def is_left_to_programs() -> bool:
    """Returns whether the kernel gives huge pages only to programs that request them."""
    try:
        return "[madvise]" in PAGES.read_text(encoding="ascii")
    except OSError:
        return False


def is_known_to_glibc() -> bool:
    """Returns whether the C library is a glibc that has the tunable."""
    try:
        version = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):  # Windows, musl, macOS
        return False
    found = re.match(r"glibc (\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) >= FIRST_GLIBC
