"""Keeps what the engine compiles on disk, so that the next command does not compile it again.

Both engines know a program by what it computes. The folder's name holds what they leave out.
"""

import hashlib
import os

from lm import xla_flags
from lm.bench import processor
from lm.data.storage.files import cache_dir

SWITCH = "LM_COMPILATION_CACHE"
JAX, TENSORFLOW = "JAX_COMPILATION_CACHE_DIR", "TF_XLA_FLAGS"
FLAG = "--tf_xla_persistent_cache_directory"


def start() -> None:
    """Set the engine's own variable, unless it is set; `LM_COMPILATION_CACHE=off` leaves it."""
    if os.environ.get(SWITCH) == "off":
        return
    folder = cache_dir() / "compiled" / key()
    flags = os.environ.get(TENSORFLOW, "")
    if xla_flags.keras_backend() == "jax":
        os.environ.setdefault(JAX, str(folder))
    elif FLAG not in flags:
        os.environ[TENSORFLOW] = f"{flags} {FLAG}={folder}".strip()


def key() -> str:
    """Return a name for the engine, its versions and flags, and the processor's instructions."""
    backend = xla_flags.keras_backend()
    versions = processor.versions()
    facts = [backend, versions, os.environ.get("XLA_FLAGS", ""), processor.instructions()]
    return f"{backend}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:12]}"
