"""Built, filled catalogue entries, each made once per process, and how to run a branch."""

import functools
from typing import Any

import keras
import numpy as np

from lm.nn import masks, stack
from lm.nn.stack_state import Rows
from tests.batches import batch, example
from tests.catalogue import (
    BRANCHES,
    MODELS,
    OBJECTIVES,
    OTHER_OBJECTIVES,
    VOCABULARY_SIZE,
    WIDTH,
    Case,
    part,
)
from tests.engine import filled, quick

KINDS = {"branch": BRANCHES, "model": MODELS, "objective": [*OBJECTIVES, *OTHER_OBJECTIVES]}
LENGTH = 12


@functools.cache
def branch(name: str) -> Any:
    """Returns a stack of one branch, which hands it the context."""
    case = find(BRANCHES, name)
    mask = masks.bidirectional if "causal" in case.lacks else masks.causal
    made = part(stack.Stack, num_layers=1, layers=[case.factory], mask=mask)(name="stack")
    memory = keras.KerasTensor(MEMORY.shape)
    return filled(made, keras.KerasTensor((2, LENGTH, WIDTH)), Rows(memory=memory))


@functools.cache
def runner(name: str) -> Any:
    """Returns `(x, **context) -> y` of a branch."""
    return quick(functools.partial(run, branch(name)))


@functools.cache
def model(name: str) -> Any:
    return fresh_model(find(MODELS, name))


def fresh_model(case: Case) -> Any:
    """Builds a model anew."""
    made = case.factory()
    return filled(made, shapes(batch(made, rows(case), LENGTH)))


@functools.cache
def objective(name: str) -> Any:
    made = find(KINDS["objective"], name).factory()
    return filled(made, shapes(batch(made.model, ROWS, LENGTH)))


def shapes(features: Any) -> dict[str, keras.KerasTensor]:
    """Returns features without values."""
    return {name: keras.KerasTensor(x.shape, str(x.dtype)) for name, x in features.items()}


def rows(case: Case) -> list[list[tuple[list[int], list[int]]]]:
    """Returns two rows, the first of them packed where the model reads such."""
    return [[A], [C]] if "packed" in case.lacks else ROWS


def find(cases: list[Case], name: str) -> Case:
    return next(case for case in cases if case.name == name)


def noise(seed: int, *shape: int) -> np.ndarray:
    """Returns standard normal numbers; the last axis is the width."""
    return np.random.default_rng(seed).standard_normal((*shape, WIDTH)).astype("float32")


def run(made: Any, x: Any, segments: Any = None, memory: Any = None, **more: Any) -> Any:
    """Runs a stack over x [B, T, D] with a memory at hand; returns its output alone."""
    memory = MEMORY[: x.shape[0]] if memory is None else memory
    return made(x, Rows(segments=segments, memory=memory, **more))[0]


MEMORY = noise(99, 2, 5)
A = example(1, 4, 5, VOCABULARY_SIZE)
B = example(2, 3, 7, VOCABULARY_SIZE)
C = example(3, 6, 6, VOCABULARY_SIZE)
ROWS = [[A, B], [C]]
