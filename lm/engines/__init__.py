"""Engines: gradients, the loop over microbatches and compilation, one class per backend."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import keras

from lm.engines.program import Outcome, Program, Ratios
from lm.types import Features, Tree


class Engine(Protocol):
    """Runs an objective and an optimizer, compiled.

    Between steps an engine may own the training state; the Keras variables are valid from `pull`
    until the next step.

    Attributes:
        program: the training state as Keras variables, and the parts of a step.
    """

    program: Program

    def step(self, batch: Features) -> Outcome:
        """Makes one update, or skips it; reading the outcome waits for the step."""

    def evaluations(self, batches: Iterable[Features]) -> Iterator[Ratios]:
        """Yields the terms of every batch, with averaged weights if any; the carry is passed on."""

    def predictions(self, batches: Iterable[Features]) -> Iterator[tuple[Ratios, Tree]]:
        """Yields the terms of every batch and what the objective predicts for its rows."""

    def logs(self) -> dict[str, float]:
        """Returns the means of the log window and starts a new one; waits for the device."""

    def pull(self) -> None:
        """Copies the state to the Keras variables."""

    def push(self) -> None:
        """Takes the state from the Keras variables, as the next step does anyway."""


def get() -> Callable[..., Engine]:
    """Returns the engine class of the Keras backend in use.

    Raises:
        ValueError: there is no engine for that backend.
    """
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise ValueError(f"KERAS_BACKEND={backend}: training runs on tensorflow or jax")
    return importlib.import_module(f"lm.engines.{backend}").Engine


__all__ = ["Engine", "Outcome", "Program", "get"]
