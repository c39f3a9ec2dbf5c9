"""Saves a state on each of four meshes, goes on from it on each of the four: bar 18.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 KERAS_BACKEND=jax \
        python -m tests.mesh.pairs FOLDER     prints JSON
"""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lm import checkpoint
from lm.engines import get
from lm.mesh import Mesh
from lm.optim import adamw
from lm.train import state
from tests.mesh.families import features, objective

FAMILY = "gpt2_short"
BEFORE, AFTER = 3, 10
SHAPES = [{"data": 1}, {"data": 2}, {"data": 2, "model": 2}, {"data": 4, "model": 2}]


def mesh(shape: dict[str, int]) -> Mesh:
    """Returns a mesh of the first of the eight devices."""
    rules = [("batch", "data")]
    if "model" in shape:
        rules += [(name, "model") for name in ("vocab", "mlp", "heads", "joined_kv")]
    return Mesh(shape=shape, rules=rules)


def engine(grid: Mesh) -> Any:
    """Returns an engine with every kind of state: slots, averages, dropout seeds, metrics."""
    make, shapes = objective(FAMILY), features(FAMILY)
    with grid.over(objective=make, features=shapes, microbatches=2):
        keras.utils.set_random_seed(0)
        return get()(
            objective=make(),
            optimizer=adamw(learning_rate=1e-2, average=0.9),
            features=shapes,
            microbatches=2,
            mesh=grid,
        )


def batch(number: int) -> dict[str, np.ndarray]:
    """Returns batch number n: the rows of the family's batch in another order each time."""
    order = np.random.default_rng(number).permutation(len(next(iter(features(FAMILY).values()))))
    return {name: x[order] for name, x in features(FAMILY).items()}


def go_on(made: Any) -> dict[str, Any]:
    """Makes ten steps; returns the loss of each and the state at the end."""
    losses = []
    for number in range(BEFORE, BEFORE + AFTER):
        made.step(batch(number))
        losses.append(made.logs()["loss"])
    return {"losses": losses, "state": arrays(made)}


def arrays(made: Any) -> dict[str, np.ndarray]:
    made.pull()
    found = state.arrays(made.program)
    return {f"{kind}/{name}": x for kind, group in found.items() for name, x in group.items()}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        x.tobytes() == other[n].tobytes() for n, x in one.items()
    )


def run(folder: Path) -> list[dict[str, Any]]:
    """Returns one record a pair."""
    engines = [engine(mesh(shape)) for shape in SHAPES]
    start = save(folder / "start", engines[0])
    found = []
    for i, saver in enumerate(engines):
        saver.pull()
        state.restore(saver.program, start)
        for number in range(BEFORE):
            saver.step(batch(number))
        path, saved = save(folder / f"mesh_{i}", saver), arrays(saver)
        reference = go_on(saver)
        for k, reader in enumerate(engines):
            reader.pull()
            state.restore(reader.program, path)
            equal = same(saved, arrays(reader))
            end = go_on(reader)
            found.append(
                {
                    "from": SHAPES[i],
                    "to": SHAPES[k],
                    "restored": equal,
                    "same_bits": same(end["state"], reference["state"]),
                    "loss": max(np.abs(np.subtract(end["losses"], reference["losses"])).tolist()),
                }
            )
    return found


def save(folder: Path, made: Any) -> Path:
    """Writes and verifies a checkpoint."""
    made.pull()
    groups = state.arrays(made.program)
    checkpoint.write(folder, step=0, groups=groups, data_state=b"", metadata={})
    checkpoint.verify(folder)
    return folder


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]))))
