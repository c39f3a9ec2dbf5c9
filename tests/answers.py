"""What the whole catalogue computes on this engine, for another engine to compare with.

`python tests/answers.py FILE.npz` writes it; `tests/test_engines.py` runs that on JAX.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import ops

from tests import built
from tests.batches import batch
from tests.catalogue import BRANCHES, MODELS
from tests.engine import differentiate


def answers() -> dict[str, np.ndarray]:
    """Returns outputs and gradients by `<entry>:<path>`."""
    return {
        f"{name}:{path}": array
        for name, made, inputs in entries()
        for path, array in of(made, inputs).items()
    }


def entries() -> Iterator[tuple[str, Any, Any]]:
    x, segments = built.noise(1, 2, built.LENGTH), np.array([[1] * 5 + [2] * 7] * 2, "int32")
    for case in BRANCHES:
        made = built.branch(case.name)
        yield case.name, made, lambda made=made: built.run(made, x, segments)
    for case in MODELS:
        made = built.model(case.name)
        features = batch(made, [[built.A, built.B], [built.C, built.A]], built.LENGTH)
        yield case.name, made, lambda made=made, features=features: made(features)


def of(made: Any, run: Any) -> dict[str, np.ndarray]:
    def loss() -> Any:
        y = run()
        return ops.sum(ops.sin(y)), y

    y, gradients = differentiate(loss, made.trainable_variables)()
    return {"output": y, **gradients}


if __name__ == "__main__":
    np.savez(sys.argv[1], **answers())
