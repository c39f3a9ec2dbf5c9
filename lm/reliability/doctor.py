"""Checks of an installation, without importing a framework."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from importlib import metadata
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from lm.data.storage import files
from lm.installed import version

GOOD, NOTE, BAD = "good", "note", "BAD"
# Distributions that install the same folder: the one installed last has overwritten the other.
RIVALS = (
    ("seqio", "seqio-nightly"),
    ("tensorflow-datasets", "tfds-nightly"),
    ("tensorflow", "tensorflow-cpu", "tf-nightly"),
    ("keras", "keras-nightly"),
)
_GIBIBYTE = 2**30
_LITTLE_DISK = 5
_COMPARED = 40


class Finding(NamedTuple):
    """The result of a check.

    Attributes:
        check: what was checked.
        verdict: GOOD, NOTE (works with a reservation) or BAD.
        value: what was found.
        advice: what to do, in one line; empty if nothing.
    """

    check: str
    verdict: str
    value: str
    advice: str = ""


def examine(workdir: str = "runs") -> Iterator[Finding]:
    """Yields a finding per row of `lm doctor`.

    Args:
        workdir: the folder for run folders.
    """
    yield python()
    yield from packages()
    yield from rivals()
    yield from devices()
    yield jax_sums()
    yield data_sets()
    for name, folder in {"cache": files.cache_dir(), "run folders": Path(workdir)}.items():
        yield writable(name, folder)
        yield disk(name, folder)


def python() -> Finding:
    """Checks the interpreter."""
    found = platform.python_version()
    required = str(metadata.metadata("seqlm")["Requires-Python"])
    from packaging.specifiers import SpecifierSet

    is_fit = SpecifierSet(required).contains(found)
    return Finding(
        "Python", GOOD if is_fit else BAD, found, "" if is_fit else f"take Python {required}"
    )


def packages() -> Iterator[Finding]:
    """Checks that every required distribution is installed in a version that fits."""
    from packaging.requirements import Requirement

    for text in metadata.requires("seqlm") or []:
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        found = version(needed.name)
        if found is None or not needed.specifier.contains(found, prereleases=True):
            advice = f"pip install '{needed}' (with -c constraints/pyXYZ.txt of the checkout)"
            yield Finding(needed.name, BAD, found or "not installed", advice)
        else:
            yield Finding(needed.name, GOOD, found)


def rivals() -> Iterator[Finding]:
    """Checks distributions that install the same files: which ones are on disk?"""
    for group in RIVALS:
        present = [name for name in group if version(name)]
        for left, right in combinations(present, 2):
            yield _rivalry(left, right)


def _rivalry(left: str, right: str) -> Finding:
    """Compares the files that two distributions record with those on the disk."""
    matching = {name: 0 for name in (left, right)}
    recorded = {name: _recorded_hashes(name) for name in matching}
    disputed = [
        path
        for path in sorted(recorded[left].keys() & recorded[right].keys())
        if recorded[left][path] != recorded[right][path]
    ]
    for path in disputed[:_COMPARED]:
        actual = _record_hash(path)
        for name in matching:
            matching[name] += recorded[name][path] == actual
    check, value = f"{left} and {right}", f"{len(disputed)} files in dispute"
    repair = f"pip uninstall {left} {right}, then pip install {right}"
    compared = min(len(disputed), _COMPARED)
    if not disputed:
        return Finding(check, GOOD, "no file in dispute")
    complete = [name for name, number in matching.items() if number == compared]
    if complete:
        advice = f"works as it is; uninstalling one breaks both, then: {repair}"
        return Finding(check, NOTE, f"{value}, all are those of {complete[0]}", advice)
    return Finding(check, BAD, f"{value}, a mixture of both", repair)


def devices() -> Iterator[Finding]:
    """Checks processors and accelerators, and whether the engine can use them."""
    yield Finding("cores", GOOD, str(len(os.sched_getaffinity(0))))
    engine = os.environ.get("KERAS_BACKEND", "tensorflow")
    is_known = engine in ("tensorflow", "jax")
    advice = "" if is_known else "set KERAS_BACKEND to tensorflow or jax"
    yield Finding("engine", GOOD if is_known else BAD, engine, advice)
    graphics = sorted(Path("/dev").glob("nvidia[0-9]*"))
    if graphics:
        plugin = next((n for n in _distributions() if n.startswith("jax-cuda")), None)
        is_used = engine == "jax" and plugin is not None
        advice = "" if is_used else "pip install '.[jax-gpu]' and set KERAS_BACKEND=jax"
        yield Finding("NVIDIA GPU", GOOD if is_used else NOTE, str(len(graphics)), advice)
    if list(Path("/dev").glob("accel[0-9]*")):
        is_used = engine == "jax" and version("libtpu") is not None
        advice = "" if is_used else "pip install '.[jax-tpu]' and set KERAS_BACKEND=jax"
        yield Finding("TPU", GOOD if is_used else NOTE, "present", advice)


def jax_sums() -> Finding:
    """Checks that JAX computes correct sums on a CPU; see `lm.xla_flags`."""
    code = "import lm.xla_flags as x; found, right = x.published_case(); print(found, right)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    advice = "pip install 'jax!=0.10.2' 'jaxlib!=0.10.2', or take the YNNPACK flag out of XLA_FLAGS"
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Finding(
            "sums of JAX", BAD, f"JAX does not start: {last}", "correct XLA_FLAGS or JAX"
        )
    found, right = done.stdout.split()
    if found != right:
        return Finding("sums of JAX", BAD, f"{found} in place of {right}", advice)
    return Finding("sums of JAX", GOOD, "right on a CPU (jax-ml/jax#39103)")


def data_sets() -> Finding:
    """Checks the folder of local data sets."""
    folder = files.data_dir()
    if folder.is_dir() and os.access(folder, os.R_OK | os.X_OK):
        return Finding("data sets", GOOD, f"{folder} ({len(list(folder.iterdir()))} entries)")
    advice = "set LM_DATA_DIR to the folder of your data sets; tasks of local files need it"
    return Finding("data sets", NOTE, f"{folder} is not there", advice)


def writable(name: str, folder: Path) -> Finding:
    """Checks that a folder can be written or created."""
    existing = _existing(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=existing) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        flag = "LM_CACHE_DIR" if name == "cache" else "--workdir"
        advice = f"give another folder by {flag}"
        return Finding(f"{name}: writable", BAD, f"{folder}: {error.strerror}", advice)
    return Finding(f"{name}: writable", GOOD, str(folder))


def disk(name: str, folder: Path, needed: int = 0) -> Finding:
    """Checks the free disk space for a folder.

    Args:
        name: of the folder.
        folder: the folder, which may not exist yet.
        needed: bytes that a run will write there, if known.
    """
    free = shutil.disk_usage(_existing(folder)).free
    value = f"{free / _GIBIBYTE:.1f} GiB free"
    if needed > free:
        advice = f"{needed / _GIBIBYTE:.1f} GiB are needed: make room or lower train.train.keep"
        return Finding(f"{name}: disk", BAD, value, advice)
    little = free < _LITTLE_DISK * _GIBIBYTE and not needed
    advice = "checkpoints and caches will soon fill it: make room" if little else ""
    return Finding(f"{name}: disk", NOTE if little else GOOD, value, advice)


def _existing(folder: Path) -> Path:
    """Returns the folder, or its nearest existing parent."""
    folder = folder.expanduser().absolute()
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _distributions() -> list[str]:
    """Returns the names of all installed distributions."""
    return [str(found.name).lower() for found in metadata.distributions() if found.name]


def _recorded_hashes(name: str) -> dict[Path, str]:
    """Returns file -> recorded hash of the Python files of a distribution."""
    found = metadata.distribution(name)
    return {
        Path(str(path.locate())): path.hash.value
        for path in found.files or []
        if path.hash is not None and path.suffix == ".py"
    }


def _record_hash(path: Path) -> str:
    """Returns the hash of a file as installers record it; empty if it does not exist."""
    try:
        digest = hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return ""
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
