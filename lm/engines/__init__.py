"""What Keras leaves to an engine: gradients, loops and compilation; one class per backend."""

import importlib

import keras

from lm.engines.program import Program


def get() -> type:
    """Return the engine class of the Keras backend in use.

    Raises:
        ValueError: no engine is written for that backend.
    """
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise ValueError(f"KERAS_BACKEND={backend}: training runs on tensorflow or jax")
    return importlib.import_module(f"lm.engines.{backend}").Engine


__all__ = ["Program", "get"]
