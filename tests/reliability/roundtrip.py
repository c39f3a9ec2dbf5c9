"""`python -m tests.reliability.roundtrip save|load FOLDER MODEL ...`: one half of bar 2.

`save` fills a model and its optimizer with noise and writes all of it and the outputs of a batch;
`load`, in a process of its own, restores it and writes what it has then.
"""

import sys
from pathlib import Path

import keras
import numpy as np

from lm.checkpoint import write
from lm.engines import Program
from lm.optim import adamw
from lm.train import state
from tests.mesh import families


def program(name: str) -> tuple[Program, dict[str, np.ndarray]]:
    """Returns the training state of a model of the catalogue, built anew, and a batch."""
    made, features = families.objective(name)(), families.features(name)
    optimizer = adamw(learning_rate=0.01, average=0.9)
    return Program(objective=made, optimizer=optimizer, features=features), features


def half(mode: str, folder: Path, name: str) -> None:
    """Fills and saves, or restores and saves again."""
    made, features = program(name)
    if mode == "save":
        noise = np.random.default_rng(0)
        for variable in made.variables:
            kind = str(variable.dtype)
            wide = noise.normal(0, 0.2, variable.shape)
            value = wide if "float" in kind else noise.integers(0, 99, variable.shape)
            variable.assign(np.abs(value).astype(kind))
    else:
        state.restore(made, folder / "save" / name / "1")
    place = folder / mode / name
    place.mkdir(parents=True)
    write(place / "1", step=1, groups=state.arrays(made), data_state=b"", metadata={})
    outputs = keras.tree.flatten(made.objective(features, training=False))
    np.savez(place / "outputs.npz", *map(np.asarray, outputs))


if __name__ == "__main__":
    for model in sys.argv[3:]:
        half(sys.argv[1], Path(sys.argv[2]), model)
