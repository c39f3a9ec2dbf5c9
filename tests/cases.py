"""What an entry of the catalogue is, and how its tiny factories are made."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from lm.config import load

WIDTH = 16
VOCABULARY_SIZE = 40
MAX_LENGTH = 32
WHOLE, WINDOWS = "whole", "windows"


class Case(NamedTuple):
    """One entry: a name, a factory of no arguments but `name`, what it lacks, its carry."""

    name: str
    factory: Callable[..., Any]
    lacks: tuple[str, ...] = ()
    carry: str = ""


def part(target: Callable[..., Any], **arguments: Any) -> Callable[..., Any]:
    """Binds arguments, as gin does: the factory keeps the name of the class."""
    return functools.wraps(target, updated=())(functools.partial(target, **arguments))


def family(*files: str, root: str = "MODEL", **macros: Any) -> Callable[[], Any]:
    """Returns a factory of the model that gin files under gin/models compose, made tiny.

    Another root is another macro, such as OBJECTIVE. A macro of None is left as the files have it.
    """
    tiny = {"HIDDEN_DIM": WIDTH, "INTERMEDIATE_DIM": 24, "NUM_LAYERS": 2, "NUM_HEADS": 2}
    tiny |= {"VOCABULARY_SIZE": VOCABULARY_SIZE, "DROPOUT_RATE": 0.3}
    given = {macro: value for macro, value in (tiny | macros).items() if value is not None}
    bindings = [f"{macro} = {value}" for macro, value in given.items()]

    def make() -> Any:
        config = load([f"models/{file}" for file in files], bindings, roots=[root])
        return config.value(root)()

    return make
