"""Caches compiled programs on disk, so that later commands need not compile them again.

Both engines identify a program by its computation. What they leave out is part of the folder's
name.
"""

import hashlib
import os
from pathlib import Path

from lm import xla_flags
from lm.bench import processor
from lm.data.storage.files import cache_dir

SWITCH = "LM_COMPILATION_CACHE"
JAX, TENSORFLOW = "JAX_COMPILATION_CACHE_DIR", "TF_XLA_FLAGS"
SHORTEST = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def start() -> None:
    """Sets the engine's cache variable, unless set already; `LM_COMPILATION_CACHE=off` disables."""
    folder = cache_dir() / "compiled" / key()
    if os.environ.get(SWITCH) == "off" or not made_private(folder):
        return
    flags = os.environ.get(TENSORFLOW, "")
    if xla_flags.keras_backend() == "jax":
        os.environ.setdefault(JAX, str(folder))
        # By default JAX keeps what took a second; initial weights need many small programs.
        os.environ.setdefault(SHORTEST, "0")
    elif xla_flags.CACHE not in flags:
        os.environ[TENSORFLOW] = f"{flags} {xla_flags.CACHE}={folder}".strip()


def made_private(folder: Path) -> bool:
    """Creates the folder if needed; returns whether only its user can write: it holds code."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError:
        return False
    return found.st_uid == os.getuid() and not found.st_mode & 0o022


def key() -> str:
    """Returns a name for the engine, its versions and flags, and the processor's instructions."""
    backend = xla_flags.keras_backend()
    versions = processor.versions()
    parts = [backend, versions, os.environ.get("XLA_FLAGS", ""), processor.instructions()]
    return f"{backend}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"
