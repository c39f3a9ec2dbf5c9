"""Bars on checkpoint folders alone: bits, names, full disks, power cuts."""

import errno
import itertools
import os
import random
import resource
import signal
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lm.checkpoint import CheckpointError, Store, assign
from tests.reliability.bar import Bar, Result
from tests.reliability.power import Power

Arrays = dict[str, np.ndarray]


def tensors(step: int, rows: int = 8) -> dict[str, Arrays]:
    """Returns the state of a step: a few tensors."""
    weights = {f"layer_{i}/kernel": np.full((rows, 16), step + i, "float32") for i in range(4)}
    return {"weights": weights, "state": {"seed": np.array([step, 7], "uint32")}}


def save(store: Store, step: int, rows: int = 8) -> None:
    """Saves a step and waits for it."""
    position = bytes([step % 256]) * 64
    store.save(step=step, groups=tensors(step, rows), data_state=position, metadata={"metric": 1.0})
    store.wait()


def bit_flips(trials: int, folder: Path) -> Result:
    """Flips one bit of the newest checkpoint: it is named and the one before it is used."""
    store = Store(folder)
    for step in (1, 2):
        save(store, step)
    store.close()
    files = sorted((store.folder / "2").iterdir())
    rng = random.Random(0)
    failures = []
    for trial in range(trials):
        path = files[trial % len(files)]
        intact = path.read_bytes()
        place, bit = rng.randrange(len(intact)), rng.randrange(8)
        path.write_bytes(intact[:place] + bytes([intact[place] ^ 1 << bit]) + intact[place + 1 :])
        warnings: list[str] = []
        found = Store(folder, warn=warnings.append).newest()
        if found is None or found[1].step != 1 or path.stem not in "".join(warnings):
            failures.append(f"{path.name} byte {place} bit {bit}: used {found}, told {warnings}")
        path.write_bytes(intact)
    return Result(trials, failures)


MUTATIONS: dict[str, Callable[[Arrays, str], object]] = {
    "removed": lambda x, name: x.pop(name),
    "added": lambda x, name: x.update({f"{name}_2": x[name]}),
    "renamed": lambda x, name: x.update({f"{name}_2": x.pop(name)}),
    "reshaped": lambda x, name: x.update({name: x[name][:-1]}),
    "transposed": lambda x, name: x.update({name: x[name].T}),
    "retyped": lambda x, name: x.update({name: x[name].astype("float16")}),
}


def strictness(trials: int, folder: Path) -> Result:
    """Changes one tensor of a stored state: refused by its name, and nothing was loaded."""
    del folder
    stored = tensors(3)["weights"]
    variables = {n: keras.Variable(np.zeros_like(x), name="kernel") for n, x in stored.items()}
    cases = itertools.product(stored, MUTATIONS)
    failures = []
    for name, mutation in itertools.islice(cases, trials):
        arrays = dict(stored)
        MUTATIONS[mutation](arrays, name)
        try:
            assign(variables, arrays, source="here")
            failures.append(f"{name} {mutation}: loaded")
        except CheckpointError as error:
            if name not in str(error):
                failures.append(f"{name} {mutation}: not named in: {error}")
        if any(np.asarray(v.value).any() for v in variables.values()):
            failures.append(f"{name} {mutation}: something was loaded")
    return Result(trials, failures)


def full_disk(trials: int, folder: Path) -> Result:
    """Lets the disk be full at any moment of a save: one line, and the save before it is good."""
    store = Store(folder)
    save(store, 1)
    rng = random.Random(1)
    failures = []
    for trial in range(trials):
        full = written_out(rng.randrange(20_000)) if trial % 2 else _call_fails(trial // 2)
        try:
            with full:
                save(store, 2, rows=500)
            failures.append(f"trial {trial}: saved in spite of a full disk")
        except CheckpointError as error:
            message = str(error)
            if (
                str(store.folder / "2") not in message
                or "MiB needed" not in message
                or "\n" in message
            ):
                failures.append(f"trial {trial}: got {message}")
        found = Store(folder).newest()
        if found is None or found[1].step != 1:
            failures.append(f"trial {trial}: the checkpoint before is not used")
        if left := [path.name for path in store.folder.iterdir() if path.name != "1"]:
            failures.append(f"trial {trial}: left {left}")
    save(store, 2, rows=500)
    store.close()
    return Result(trials, failures, "then space is freed and the save succeeds")


@contextmanager
def written_out(size: int) -> Any:
    """Lets no file grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@contextmanager
def _call_fails(number: int) -> Any:
    """Lets one of the system calls of a save find no space."""
    name = ("fsync", "rename", "mkdir")[number % 3]
    whole, left = getattr(os, name), number // 3 % 4 if name == "fsync" else 0

    def full(path: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(path, *args, **kwargs)

    setattr(os, name, full)
    try:
        yield
    finally:
        setattr(os, name, whole)


def power_cuts(trials: int, folder: Path) -> Result:
    """Cuts the power anywhere, un-synced writes lost or half there: a finished save is good."""
    failures = []
    cuts = 0
    for trial in range(trials):
        workdir, finished = folder / f"disk-{trial}", 0
        with Power(folder, cut=random.Random(trial).randint(1, 90)) as power:
            store = Store(workdir / "run", keep=2)
            for step in range(1, 5):
                save(store, step)
                finished = finished if power.is_off else step
            store.close()
            cuts += power.is_off
        for luck in LUCK:
            image = folder / f"image-{trial}-{luck}"
            power.image(workdir, image, random.Random(trial), luck)
            step, warnings = newest_of(image / "run")
            if step < finished:
                failures.append(f"cut {trial}, {luck}: {finished} saved, {step} found: {warnings}")
    return Result(trials, failures, f"{cuts} cuts during saves, {trials * len(LUCK)} disks")


def newest_of(workdir: Path) -> tuple[int, str]:
    """Returns the step of the checkpoint that a run would go on from, 0 if none; and complaints."""
    warnings: list[str] = []
    try:
        found = Store(workdir, warn=warnings.append).newest()
    except CheckpointError as error:
        return 0, str(error)
    return (found[1].step if found else 0), "; ".join(warnings)


LUCK = (0.0, 0.5, 1.0)
BARS = [
    Bar(
        4,
        "strict",
        "a tensor renamed, added, removed, reshaped or retyped is an error that names it",
        strictness,
        short=12,
        long=24,
    ),
    Bar(
        5,
        "full disk",
        "a save on a full disk is one line with path and size; the one before is usable",
        full_disk,
        short=10,
        long=200,
    ),
    Bar(
        9,
        "bit flips",
        "a flipped bit anywhere in a checkpoint is detected and named; the one before is used",
        bit_flips,
        short=100,
        long=1000,
    ),
    Bar(
        20,
        "power",
        "after a power cut that loses unsynced writes, every finished save is usable",
        power_cuts,
        short=20,
        long=200,
    ),
]
