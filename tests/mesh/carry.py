"""Runs in a process of its own with eight devices; writes carries and losses as JSON.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 KERAS_BACKEND=jax \
        python -m tests.mesh.carry FILE.json
"""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lm.engines import get
from lm.mesh import Mesh
from tests import carried
from tests.engine import fill
from tests.mesh.worker import rule

ROWS, STEPS = 16, 3


def engine(grid: Any = None) -> Any:
    """Returns an engine without dropout, filled alike on one device and on eight."""
    features = carried.batch(0, rows=ROWS)
    scope = contextlib.nullcontext()
    if grid:
        scope = grid.over(objective=carried.still, features=features, microbatches=2)
    with scope:
        keras.utils.set_random_seed(0)
        made = get()(
            objective=carried.still(),
            optimizer=rule(),
            features=features,
            microbatches=2,
            **({"mesh": grid} if grid else {}),
        )
    fill(made.program.objective)
    return made


def run(made: Any) -> dict[str, Any]:
    """Returns the carry after some steps, where it lies, and losses of an evaluation."""
    made.pull()
    for number in range(STEPS):
        made.step(carried.batch(number, rows=ROWS))
    made.pull()
    variables = made.program.carry.variables
    evaluated = made.evaluations(carried.batch(n, rows=ROWS) for n in range(3))
    return {
        "carry": {v.path: np.asarray(v.value).astype("float64").tolist() for v in variables},
        "rows": [v.value.sharding.shard_shape(v.value.shape)[0] for v in variables],
        "losses": [float(terms["loss"][0]) for terms in evaluated],
    }


if __name__ == "__main__":
    mesh = Mesh(shape={"data": 8}, rules=[("batch", "data")])
    mesh.start()
    found = {"one": run(engine()), "eight": run(engine(mesh))}
    Path(sys.argv[1]).write_text(json.dumps(found))
