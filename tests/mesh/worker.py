"""Runs in a process of its own with eight devices and writes what the tests look at as JSON.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 KERAS_BACKEND=jax \
        python -m tests.mesh.worker FILE.json FAMILY:MESH ...
"""

import contextlib
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lm import config
from lm.engines import get
from lm.engines.device_memory import device_memory
from lm.mesh.axes import declared
from lm.optim import Optimizer
from tests.engine import fill
from tests.mesh.families import features, objective

COLLECTIVES = "all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute"
MICROBATCHES = {"gpt2_short": 2}
EVALUATED = ("gpt2_short",)


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
            optimizer=rule(),
            features=shapes,
            microbatches=microbatches,
            mesh=grid,
        )
    fill(made.program.objective)
    return made


def answers(made: Any, name: str) -> dict[str, Any]:
    """Returns loss, gradients and collectives of one step, and for some the evaluated loss."""
    made.pull()
    before = weights(made)
    evaluated = next(made.evaluations([features(name)]))["loss"] if name in EVALUATED else ()
    counts = compiled(made, name)
    made.step(features(name))
    logs = made.logs()
    after = weights(made)
    return {
        "loss": logs["loss"],
        "evaluated": [float(x) for x in evaluated],
        "gradients": {path: before[path] - after[path] for path in before},
        "collectives": counts,
    }


def compiled(made: Any, name: str) -> dict[str, int]:
    """Compiles the step ahead; returns how often each collective stands in it."""
    batch = made._placed(features(name))
    made._train = made._train.lower(made._owned(), batch).compile()
    return Counter(re.findall(rf"\b({COLLECTIVES})(?:-start)?\(", made._train.as_text()))


def weights(made: Any) -> dict[str, np.ndarray]:
    made.pull()
    return {v.path: np.asarray(v.value).astype("float64") for v in made.program.weights}


def compared(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Returns the largest differences; gradients relative to the largest number of each."""
    gaps = {
        path: float(np.abs(g - other["gradients"][path]).max() / max(1.0, np.abs(g).max()))
        for path, g in one["gradients"].items()
    }
    pairs = zip(one["evaluated"], other["evaluated"], strict=True)
    return {
        "loss": abs(one["loss"] - other["loss"]),
        "evaluated": max((abs(a - b) / a for a, b in pairs), default=0.0),
        "gradients": max(gaps.values()),
        "worst": max(gaps, key=lambda path: gaps[path]),
    }


def shards(made: Any) -> dict[str, Any]:
    """Returns path -> [shape, shape on each device] of the whole state."""
    return {
        v.path: [list(v.shape), list(v.value.sharding.shard_shape(v.value.shape))]
        for v in made.program.variables
    }


def state_bytes(made: Any) -> int:
    """Returns the bytes of the state on the first device."""
    first = [v.value.addressable_shards[0].data.nbytes for v in made.program.variables]
    return sum(first)


def foretold(name: str, grid: Any) -> dict[str, int]:
    """Returns what `lm summary --mesh` says of the same step."""
    return device_memory(
        grid,
        objective=objective(name),
        optimizer=rule,
        features=features(name),
        microbatches=MICROBATCHES.get(name, 1),
    )._asdict()


def analysed(step: Any) -> dict[str, int]:
    """Returns what the compiler says of a step that was compiled with all its arrays."""
    found = step.memory_analysis()
    return {
        "arguments": found.argument_size_in_bytes,
        "outputs": found.output_size_in_bytes - found.alias_size_in_bytes,
        "temporaries": found.temp_size_in_bytes,
    }


def rule() -> Optimizer:
    """Returns an update rule whose first update is the gradient."""
    return Optimizer(rule=keras.optimizers.SGD(1.0, momentum=0.9, name="sgd"))


def run(pairs: Sequence[str]) -> dict[str, Any]:
    """Returns a record of every pair `family:mesh`; one device is asked once a family."""
    found: dict[str, Any] = {}
    asked = [pair.split(":") for pair in pairs]
    for family in dict.fromkeys(name for name, _ in asked):
        alone = engine(family)
        expected = answers(alone, family)
        for name in (place for other, place in asked if other == family):
            grid = mesh(name)
            made = engine(family, grid)
            got = answers(made, family)
            found[f"{family}:{name}"] = {
                "shape": grid.shape,
                "difference": compared(expected, got),
                "shards": shards(made),
                "axes": declared(made.program.objective),
                "collectives": got["collectives"],
                "bytes": state_bytes(made),
                "one": state_bytes(alone),
                "foretold": foretold(family, grid) if family in EVALUATED else None,
                "analysed": analysed(made._train),
            }
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(run(sys.argv[2:])))
