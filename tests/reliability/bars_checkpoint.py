"""Bars on checkpoint folders alone: flipped bits are found and the one before is used."""

import random
from pathlib import Path

import numpy as np

from lm.checkpoint import CheckpointError, Store
from tests.reliability.bar import Bar, Result


def filled(workdir: Path, steps: tuple[int, ...] = (1, 2)) -> Path:
    """Write checkpoints of a few tensors; return their folder."""
    store = Store(workdir)
    for step in steps:
        tensors = {f"layer_{i}/kernel": np.full((8, 16), step + i, "float32") for i in range(4)}
        groups = {"weights": tensors, "state": {"seed": np.array([step, 7], "uint32")}}
        store.save(step=step, groups=groups, data_state=bytes([step]) * 64, facts={"metric": 1.0})
    store.close()
    return store.folder


def bit_flips(trials: int, folder: Path) -> Result:
    """Flip one bit of the newest checkpoint: it is named and the one before it is used."""
    newest = filled(folder) / "2"
    files = sorted(newest.iterdir())
    rng = random.Random(0)
    failures = []
    for trial in range(trials):
        path = files[trial % len(files)]
        intact = path.read_bytes()
        place, bit = rng.randrange(len(intact)), rng.randrange(8)
        path.write_bytes(intact[:place] + bytes([intact[place] ^ 1 << bit]) + intact[place + 1 :])
        told: list[str] = []
        try:
            found = Store(folder, warn=told.append).newest()
            if found is None or found[1].step != 1 or path.stem not in "".join(told):
                failures.append(f"{path.name} byte {place} bit {bit}: used {found}, told {told}")
        except CheckpointError as error:
            failures.append(f"{path.name} byte {place} bit {bit}: {error}")
        path.write_bytes(intact)
    return Result(trials, failures)


BARS = [
    Bar(
        9,
        "bit flips",
        "a flipped bit anywhere in a checkpoint is found, named, and the one before is used",
        bit_flips,
        short=100,
        long=1000,
    ),
]
