"""Bar 2: every model of the catalogue is saved, and is the same in another process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from lm.checkpoint import read, verify
from tests.reliability.bar import ROOT, Bar, Result

FEW = 2


def roundtrip(trials: int, folder: Path) -> Result:
    """Saves models on one process, loads them in another: tensors and logits bit for bit."""
    from tests.mesh.families import PAIRS

    names = list(dict.fromkeys(name for name, _ in PAIRS))[:trials]
    engines = ("tensorflow", "jax") if trials > FEW else ("jax",)
    failures, tensors = [], 0
    for engine in engines:
        for mode in ("save", "load"):
            failures += _run(engine, mode, folder / engine, names)
        for name in names if not failures else ():
            number, told = _compared(folder / engine, name)
            tensors += number
            failures += [f"{engine} {name}: {line}" for line in told]
    note = f"{tensors} tensors compared on {' and '.join(engines)}"
    return Result(len(names) * len(engines), failures, note)


def _run(engine: str, mode: str, folder: Path, names: list[str]) -> list[str]:
    """Runs one half in a process; returns its last words if it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.roundtrip", mode, str(folder), *names],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": engine, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    return [f"{engine} {mode}: {done.stderr[-500:]}"] if done.returncode else []


def _compared(folder: Path, name: str) -> tuple[int, list[str]]:
    """Returns the number of tensors, and those that differ."""
    saved, loaded = (folder / mode / name for mode in ("save", "load"))
    found, number = [], 0
    for kind in verify(saved / "1").tensors:
        arrays, others = read(saved / "1", kind), read(loaded / "1", kind)
        number += len(arrays)
        found += [n for n in arrays if arrays[n].tobytes() != others[n].tobytes()]
    outputs = [np.load(place / "outputs.npz") for place in (saved, loaded)]
    found += [n for n in outputs[0] if outputs[0][n].tobytes() != outputs[1][n].tobytes()]
    return number, found


BARS = [
    Bar(
        2,
        "round trip",
        "every model saved and loaded in another process: weights, slots, seeds, logits equal",
        roundtrip,
        short=FEW,
        long=99,
        slow=True,
    ),
]
