"""Trains over data x model in two processes, saves, and goes on in one: see test_grid.py.

KERAS_BACKEND=jax python -m tests.mesh.grid FOLDER       prints JSON, one record a run
"""

import functools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lm.checkpoint import Store
from lm.mesh import Mesh, cluster
from lm.optim import adamw
from lm.train import train
from lm.train.reporter import rows
from tests.mesh import pairs
from tests.mesh.families import features, objective
from tests.mesh.forked import ended, started
from tests.mesh.pairs import FAMILY
from tests.toy import Stream

HALF, END = 3, 6
# Devices a process -> how they lie: 'model' within each process, or over both.
GRIDS = {"inside": (2, {"data": 2, "model": 2}), "across": (1, {"data": 1, "model": 2})}


class Rows(Stream):
    """The family's batch in another order every time, not finite at some positions."""

    def __init__(self, *, bad: Sequence[int] = ()) -> None:
        super().__init__()
        self.features = features(FAMILY)
        self.bad = bad

    def __next__(self) -> Any:
        self.position += 1
        found = pairs.batch(self.position)
        if self.position in self.bad:
            found["decoder_loss_weights"][0, 0] = np.nan
        return found


def runs(folder: Path) -> dict[str, Any]:
    """Makes all runs; returns exit codes, the last step saved, losses by step, what was said."""
    found = {"one": made(folder / "one", END)}
    for name, (devices, shape) in GRIDS.items():
        found[name] = made(folder / name, HALF, processes=2, devices=devices, shape=shape)
        found[f"{name}_then_one"] = made(folder / name, END)
    devices, shape = GRIDS["across"]
    found["back"] = made(
        folder / "back", END, processes=2, devices=devices, shape=shape, bad=(3, 4)
    )
    return found


def made(workdir: Path, steps: int, *, processes: int = 1, **grid: Any) -> dict[str, Any]:
    """Trains in new processes; returns what came of it."""
    work = functools.partial(trained, workdir, steps, **grid)
    codes = ended(started([work] * processes, workdir))
    newest = Store(workdir).newest()
    assert newest is not None, Path(f"{workdir}.0.log").read_text()[-2000:]
    train_rows = [row for row in rows(workdir / "metrics.jsonl") if row["split"] == "train"]
    return {
        "codes": codes,
        "step": newest[1].step,
        "losses": {row["step"]: row["loss"] for row in train_rows},
        "log": Path(f"{workdir}.0.log").read_text(),
    }


def trained(
    workdir: Path,
    steps: int,
    *,
    devices: int = 1,
    shape: Mapping[str, int] | None = None,
    bad: Sequence[int] = (),
) -> int:
    """Trains as one of the processes."""
    jax.config.update("jax_num_cpu_devices", devices)
    model = [(name, "model") for name in ("vocab", "mlp", "heads", "joined_kv")]
    rules = [("batch", "data"), *model]
    train(
        workdir=str(workdir),
        objective=objective(FAMILY),
        optimizer=functools.partial(adamw, learning_rate=1e-2, average=0.9),
        train_data=functools.partial(Rows, bad=bad),
        train_steps=steps,
        eval_period=END,
        log_period=1,
        microbatches=2,
        max_skipped=2,
        max_rollbacks=1,
        mesh=shape and functools.partial(Mesh, shape=shape, rules=rules, cluster=cluster.addressed),
    )
    return 0


if __name__ == "__main__":
    print(json.dumps(runs(Path(sys.argv[1]))))
