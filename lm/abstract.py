"""Models built on shapes: each variable has a path, a shape and a type, and no value yet."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops
from keras.src.backend.common import global_state

from lm.wall import wall

_WAITING = "uninitialized_variables"


@contextmanager
def on_shapes(binding: str) -> Iterator[None]:
    """Build in the body without allocating anything, whatever the size.

    Args:
        binding: what is built, for messages; see `lm.wall`.
    """
    # Keras keeps a list of variables without values, and the next end of a scope makes them all.
    waiting = list(global_state.get_global_attribute(_WAITING, []))
    try:
        with wall(binding), _ShapesOnly(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(_WAITING, waiting)


def give_values(variables: Iterable[Any]) -> None:
    """Allocate variables that were built on shapes, with their initial values."""
    for variable in variables:
        variable._deferred_initialize()


class _ShapesOnly(keras.StatelessScope):
    """A scope in which a trace reads zeros of variables that have no value.

    Keras alone would trace the initializer wherever a variable is read: of a mixture of experts
    that is one draw for each expert.
    """

    def get_current_value(self, variable: Any) -> Any:
        """Return what was assigned to a variable in this scope, or zeros."""
        value = super().get_current_value(variable)
        return ops.zeros(variable.shape, variable.dtype) if value is None else value
