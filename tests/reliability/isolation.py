"""`python -m tests.reliability.isolation CHANGES MODEL ...`: what one example gets of others.

Prints a table: a row for each model of the catalogue (all by default), at the settings of its gin
files, eager and compiled, on the engine of KERAS_BACKEND. Rows of a batch hold 31 tokens: more than
a mixture of experts has slots for, so that its tokens take turns.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tests.batches import Batch, batch, example
from tests.built import model
from tests.catalogue import MODELS, VOCABULARY_SIZE
from tests.engine import BACKEND, eager, jit, numpy

EXAMPLES = [example(seed, 6, n, VOCABULARY_SIZE) for seed, n in ((1, 7), (2, 11), (3, 13), (4, 29))]
WIDTHS = (13, 20, 32)


class Found(NamedTuple):
    """What was found of a model.

    Attributes:
        name, engine, mode: which, on what, eager or compiled.
        packed: largest difference between packed and alone, relative to the largest output or 1.
        padding: the same between widths of padding.
        changed: trials in which another example, of the row or of another row, changed a bit.
        trials: their number.
    """

    name: str
    engine: str
    mode: str
    packed: float
    padding: float
    changed: int
    trials: int

    def row(self) -> str:
        """Returns a row of the table."""
        packed, padding = (f"{x:.1e}" for x in (self.packed, self.padding))
        cells = self.name, self.engine, self.mode, packed, padding, self.changed, self.trials
        return f"| {' | '.join(map(str, cells))} |"


def read(row: str) -> Found:
    """Returns what a row says."""
    name, engine, mode, packed, padding, changed, trials = row.strip("| ").split(" | ")
    return Found(name, engine, mode, float(packed), float(padding), int(changed), int(trials))


def found(name: str, changes: int) -> Iterator[Found]:
    """Yields what is found of a model, eager and compiled."""
    made = model(name)
    for mode, compiled in (("eager", eager), ("compiled", jit)):
        run = runner(made, compiled)
        packed, padding = differences(made, run)
        changed = sum(changes_a_bit(made, run, seed) for seed in range(changes))
        yield Found(name, BACKEND, mode, packed, padding, changed, changes)


def runner(made: Any, compiled: Callable[..., Any]) -> Callable[[Batch], np.ndarray]:
    """Returns `features -> outputs`, [B, T, V], or [B, 1, D] where a row has one vector."""
    run = compiled(made)

    def call(features: Batch) -> np.ndarray:
        y = numpy(run(features))
        return y if y.ndim > 2 else y[:, None]

    return call


def differences(made: Any, run: Callable[[Batch], np.ndarray]) -> tuple[float, float]:
    """Returns the largest of packed against alone, and of widths of padding."""
    together = run(batch(made, [EXAMPLES[:3]], 32))[0]
    alone = [run(batch(made, [[one]], 13))[0] for one in EXAMPLES[:3]]
    if together.shape[0] == 1:
        return worst(together, alone[0]), 0.0
    ends = np.cumsum([len(targets) for _, targets in EXAMPLES[:3]])
    parts = np.split(together[: ends[-1]], ends[:-1])
    padded = [run(batch(made, [EXAMPLES[2:3]], width))[0][:13] for width in WIDTHS]
    return (
        max(worst(part, one[: len(part)]) for part, one in zip(parts, alone, strict=True)),
        max(worst(one, padded[0]) for one in padded),
    )


def worst(actual: np.ndarray, expected: np.ndarray) -> float:
    largest = max(1.0, float(np.abs(expected).max()))
    return float(np.abs(actual - expected).max()) / largest


def changes_a_bit(made: Any, run: Callable[[Batch], np.ndarray], seed: int) -> bool:
    """Draws all tokens but those of one example anew: those before, behind and in another row."""
    features = batch(made, [EXAMPLES[:3], EXAMPLES[3:]], 32)
    drawn, kept = np.random.default_rng(seed), 1 + seed % 3
    mine = {}
    other = dict(features)
    for side in ("encoder", "decoder"):
        if f"{side}_input_tokens" in features:
            tokens = features[f"{side}_input_tokens"]
            mine[side] = (features[f"{side}_segment_ids"] == kept) & [[True], [False]]
            noise = drawn.integers(1, VOCABULARY_SIZE, tokens.shape).astype("int32")
            other[f"{side}_input_tokens"] = np.where(mine[side], tokens, noise)
    y, z = run(features), run(other)
    if y.shape[1] == 1:
        return bool(kept == 1 and (y[0] != z[0]).any())
    side = "decoder" if "decoder" in mine else "encoder"
    return bool((y[mine[side]] != z[mine[side]]).any())


if __name__ == "__main__":
    for name in sys.argv[2:] or [case.name for case in MODELS if "packed" not in case.lacks]:
        for line in found(name, int(sys.argv[1])):
            print(line.row(), flush=True)
