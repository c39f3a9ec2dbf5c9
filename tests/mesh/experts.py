"""A mixture of experts on one device and on data x expert: see test_experts.py.

XLA_FLAGS=--xla_force_host_platform_device_count=8 KERAS_BACKEND=jax python -m tests.mesh.experts
"""

import collections
import json
import re
import sys
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from keras import ops

from lm.mesh import Mesh
from lm.nn.branch import Context
from lm.nn.routers import TopTwoRouter
from tests.catalogue import WIDTH, mixture, part
from tests.engine import fill

COLLECTIVE = re.compile(r" (all-to-all|all-gather|all-reduce)(?:-start)?\(")
RULES = [("batch", ["data", "expert"]), ("expert", "expert"), ("expert_replicas", "data")]
X = np.random.default_rng(0).standard_normal((16, 32, WIDTH)).astype("float32")


def made() -> Any:
    """Returns a mixture that is built."""
    router = part(TopTwoRouter, num_experts=4, second_threshold=0.0)
    layer = mixture(router, 1.0)(name="mixture")
    layer(X, Context())
    return layer


def computed(x: Any) -> dict[str, Any]:
    """Returns output, gradients, collectives and how the experts lie."""
    layer = made()
    fill(layer)
    weights = layer.trainable_variables

    def loss(values: Any, x: Any) -> Any:
        with keras.StatelessScope(state_mapping=zip(weights, values, strict=True)):
            y, _ = layer(x, Context(), training=True)
        return ops.sum(ops.sin(y)), y

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    values = [v.value for v in weights]
    compiled = step.lower(values, x).compile()
    (_, y), gradients = compiled(values, x)
    return {
        "arrays": [np.asarray(a) for a in (y, *gradients)],
        "collectives": collections.Counter(COLLECTIVE.findall(compiled.as_text())),
        "lie": {v.path: str(v.value.sharding) for v in weights if "experts" in v.path},
    }


def run() -> dict[str, Any]:
    one = computed(X)
    mesh = Mesh(shape={"data": 2, "expert": 4}, rules=RULES)
    keras.distribution.set_distribution(mesh.distribution(made()))
    spread = NamedSharding(mesh.grid.backend_mesh, PartitionSpec(("data", "expert")))
    many = computed(jax.device_put(X, spread))
    pairs = zip(one["arrays"], many["arrays"], strict=True)
    worst = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs)
    return {"worst": worst, "collectives": many["collectives"], "lie": many["lie"]}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(run()))
