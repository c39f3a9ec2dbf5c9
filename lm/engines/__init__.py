"""What Keras leaves to an engine: gradients, loops and compilation; one class per backend."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import keras

from lm.engines.program import Outcome, Program, Ratios
from lm.types import Features, Tree


class Engine(Protocol):
    """Runs an objective and an optimizer, compiled.

    Between steps an engine may own the training state: the Keras variables hold it after `pull`,
    until the next step.

    Attributes:
        program: the training state as Keras variables, and the parts of a step.
    """

    program: Program

    def step(self, batch: Features) -> Outcome:
        """Make one update, or skip it; the outcome can be read once the step has ended."""

    def evaluations(self, batches: Iterable[Features]) -> Iterator[Ratios]:
        """Yield the terms of every batch, averaged weights where they are kept; a carry goes on."""

    def predictions(self, batches: Iterable[Features]) -> Iterator[tuple[Ratios, Tree]]:
        """Yield the terms of every batch and what the objective predicts for its rows."""

    def logs(self) -> dict[str, float]:
        """Return the means of the log window and start a new one; waits for the device."""

    def pull(self) -> None:
        """Give the state to the Keras variables."""

    def push(self) -> None:
        """Take the state from the Keras variables, as the next step does by itself."""


def get() -> Callable[..., Engine]:
    """Return the engine class of the Keras backend in use.

    Raises:
        ValueError: no engine is written for that backend.
    """
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise ValueError(f"KERAS_BACKEND={backend}: training runs on tensorflow or jax")
    return importlib.import_module(f"lm.engines.{backend}").Engine


__all__ = ["Engine", "Outcome", "Program", "get"]
