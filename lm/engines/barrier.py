"""Keeps the compiler from moving work out of a loop."""

from typing import Any

import keras

from lm.types import Tensor


def barrier(*tensors: Tensor) -> Any:
    """Returns the tensors as values that the compiler knows nothing of.

    What is computed of a constant of a loop is otherwise computed once, before it: weights that
    were cast there would be read from memory at full width in every step.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.lax.optimization_barrier(tensors)
    from tensorflow.compiler.tf2xla.ops import gen_xla_ops

    return gen_xla_ops.xla_optimization_barrier(list(tensors))
