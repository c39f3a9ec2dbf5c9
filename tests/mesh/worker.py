"""Runs in a process of its own with eight devices and writes what the tests look at as JSON.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 KERAS_BACKEND=jax \
        python -m tests.mesh.worker FILE.json
"""

import contextlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lm import config
from lm.engines import get
from lm.optim import Optimizer
from tests.engine import fill
from tests.mesh.families import FAMILIES, features, objective

COLLECTIVES = "all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute"
MICROBATCHES = {"gpt2": 2}


def mesh(name: str, *bindings: str) -> Any:
    """Returns a started mesh of gin/mesh."""
    made = config.load([f"mesh/{name}.gin"], bindings, roots=["MESH"]).value("MESH")()
    made.start()
    return made


def engine(name: str, grid: Any = None) -> Any:
    """Returns an engine whose update is the gradient, filled alike on every mesh."""
    keras.utils.set_random_seed(0)
    shapes, microbatches = features(name), MICROBATCHES.get(name, 1)
    make = objective(name)
    scope = grid.over(objective=make, features=shapes, microbatches=microbatches) if grid else None
    with scope or contextlib.nullcontext():
        keras.utils.set_random_seed(0)
        made = get()(
            objective=make(),
            optimizer=Optimizer(rule=keras.optimizers.SGD(1.0, momentum=0.9, name="sgd")),
            features=shapes,
            microbatches=microbatches,
            mesh=grid,
        )
    fill(made.program.objective)
    return made


def answers(made: Any, name: str) -> dict[str, Any]:
    """Returns loss, gradients and evaluated loss of one step."""
    made.pull()
    before = weights(made)
    evaluated = {n: [float(x) for x in pair] for n, pair in made.evaluate(features(name)).items()}
    made.step(features(name))
    logs = made.logs()
    after = weights(made)
    gradients = {path: before[path] - after[path] for path in before}
    return {"loss": logs["loss"], "evaluated": evaluated["loss"], "gradients": gradients}


def weights(made: Any) -> dict[str, np.ndarray]:
    made.pull()
    return {v.path: np.asarray(v.value).astype("float64") for v in made.program.weights}


def compared(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Returns the largest differences; gradients relative to the largest number of each."""
    gaps = {
        path: float(np.abs(g - other["gradients"][path]).max() / max(1.0, np.abs(g).max()))
        for path, g in one["gradients"].items()
    }
    return {
        "loss": abs(one["loss"] - other["loss"]),
        "evaluated": max(
            abs(a - b) / a for a, b in zip(one["evaluated"], other["evaluated"], strict=True)
        ),
        "gradients": max(gaps.values()),
        "worst": max(gaps, key=lambda path: gaps[path]),
    }


def shards(made: Any) -> dict[str, Any]:
    """Returns path -> [shape, shape on each device] of the whole state."""
    return {
        v.path: [list(v.shape), list(v.value.sharding.shard_shape(v.value.shape))]
        for v in made.program.variables
    }


def collectives(made: Any, name: str) -> dict[str, int]:
    """Returns how often each collective stands in the compiled step."""
    placed = made._placed(features(name))
    text = made._train.lower(made._owned(), placed).compile().as_text()
    return Counter(re.findall(rf"\b({COLLECTIVES})(?:-start)?\(", text))


def state_bytes(made: Any) -> int:
    """Returns the bytes of the state on the first device."""
    first = [v.value.addressable_shards[0].data.nbytes for v in made.program.variables]
    return sum(first)


def run() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for family in FAMILIES:
        alone = engine(family.name)
        expected = answers(alone, family.name)
        found[family.name] = {"one": {"bytes": state_bytes(alone)}}
        for name in family.meshes:
            grid = mesh(name)
            made = engine(family.name, grid)
            found[family.name][name] = {
                "shape": grid.shape,
                "difference": compared(expected, answers(made, family.name)),
                "shards": shards(made),
                "collectives": collectives(made, family.name),
                "bytes": state_bytes(made),
            }
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(run()))
