"""The variables of one size of each family, path and shape, as text."""

import functools
from collections.abc import Sequence
from pathlib import Path

from lm.config import load
from lm.summary import Summary, summarise

FOLDER = Path(__file__).parent / "trees"
GIN = Path(__file__).parents[2] / "gin"
SIZES = [
    "bert/base",
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


def tree(name: str) -> str:
    shapes = summary(f"models/{name}.gin").shapes
    return "".join(f"{path} {list(shape)}\n" for path, shape in shapes.items())


def path(name: str) -> Path:
    return FOLDER / f"{name.replace('/', '_')}.txt"


def write() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in SIZES:
        path(name).write_text(tree(name), encoding="utf-8")
