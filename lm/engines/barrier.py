"""An optimization barrier: keeps the compiler from moving work out of a loop."""

from typing import Any

import keras

from lm.types import Tensor


def barrier(*tensors: Tensor) -> Any:
    """Returns the tensors as values that the compiler cannot look into.

    Otherwise it hoists computations on loop constants out of the loop: a cast of narrow weights
    would be done once, and every step would read the wide weights from memory.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.lax.optimization_barrier(tensors)
    from tensorflow.compiler.tf2xla.ops import gen_xla_ops

    return gen_xla_ops.xla_optimization_barrier(list(tensors))
