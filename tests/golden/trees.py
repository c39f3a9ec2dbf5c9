"""The variables of one size of each family, path and shape, as text."""

import functools
from collections.abc import Sequence
from pathlib import Path

import keras

from lm.abstract import on_shapes
from lm.config import load
from lm.nn.stack import abridged, unabridged
from lm.summary import Summary, summarise
from lm.types import Shape

FOLDER = Path(__file__).parent / "trees"
GIN = Path(__file__).parents[2] / "gin"
# Files of a family that are no size: include them before or after one.
PARTS = {
    "architecture",
    "classifier",
    "documents",
    "masked",
    "permutation",
    "replaced_tokens",
    "words",
}
SIZES = [
    "bert/base",
    "electra/small",
    "evolved_transformer/mobile",
    "flash/base",
    "gau/base",
    "funnel/b4_4_4",
    "gpt2/small",
    "primer/small",
    "switch/base_8",
    "t5/small",
    "t5_1_1/small",
    "transformer/base",
    "transformer_xl/enwik8_12",
    "xlnet/base",
]


@functools.cache
def summary(*files: str, bindings: Sequence[str] = ()) -> Summary:
    config = load(files, bindings, roots=["MODEL"])
    return summarise(config.value("MODEL"), length=16)


@functools.cache
def objective(*files: str) -> dict[str, Shape]:
    """Path and shape of the weights of a whole objective that predicts four tokens of a row."""
    config = load(files, ["MAX_PREDICTIONS = 4"], roots=["OBJECTIVE"])
    names = ("encoder_input_tokens", "encoder_target_tokens", "encoder_loss_weights")
    with abridged(), on_shapes("OBJECTIVE"):
        made = config.value("OBJECTIVE")()
        made(dict.fromkeys(names, keras.KerasTensor((1, 16), "int32")))
        weights = unabridged((v.path, v) for v in made.trainable_variables)
        return {path: tuple(weight.shape) for path, weight in weights}


def tree(name: str) -> str:
    shapes = summary(f"models/{name}.gin").shapes
    return "".join(f"{path} {list(shape)}\n" for path, shape in shapes.items())


def path(name: str) -> Path:
    return FOLDER / f"{name.replace('/', '_')}.txt"


def write() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in SIZES:
        path(name).write_text(tree(name), encoding="utf-8")
