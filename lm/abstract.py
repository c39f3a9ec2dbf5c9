"""Building models from shapes: variables get a path, a shape and a dtype, but no value yet."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.backend.common import global_state
from numpy.typing import ArrayLike

from lm.types import Features, Tensor
from lm.wall import wall

_WAITING = "uninitialized_variables"


@contextmanager
def on_shapes(binding: str) -> Iterator[None]:
    """Builds models in the body without allocating anything, whatever their size.

    Args:
        binding: what is built, for messages; see `lm.wall`.
    """
    # Keras keeps a list of variables without values and would initialize all of them at the end of
    # the next scope.
    waiting = list(global_state.get_global_attribute(_WAITING, []))
    try:
        with wall(binding), _Values({}):
            yield
    finally:
        global_state.set_global_attribute(_WAITING, waiting)


def specs(features: Features) -> dict[str, keras.KerasTensor]:
    """Returns shape and dtype of each feature, to call a model on shapes."""
    return {
        name: keras.KerasTensor(tuple(x.shape), keras.backend.standardize_dtype(x.dtype))
        for name, x in features.items()
    }


def give_values(variables: Iterable[Any]) -> None:
    """Initializes the variables that have no value yet."""
    for variable in variables:
        if variable._value is None:
            variable._deferred_initialize()


def set_value(variable: Any, value: ArrayLike) -> None:
    """Assigns a value to a variable; if it has none yet, its initializer is not run."""
    if variable._value is not None:
        variable.assign(value)
        return
    variable._initializer = lambda shape, dtype: ops.convert_to_tensor(value, dtype)
    variable._deferred_initialize()


def reading(arrays: Mapping[str, np.ndarray]) -> AbstractContextManager[Any]:
    """Lets models without values compute in the body: a variable reads as the array of its path.

    An array is converted at each read and not kept, so that of memory-mapped ones no more is in
    memory than the operation at hand needs.

    Args:
        arrays: path of a variable -> array; variables that are not among them read as zeros.
    """
    return _Values(arrays)


class _Values(keras.StatelessScope):
    """A scope in which variables read as arrays, by path, else as zeros.

    Without it Keras would trace the initializer at every read; in a mixture of experts once per
    expert.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(initialize_variables=False)
        self.arrays = arrays

    def get_current_value(self, variable: Any) -> Tensor:
        """Returns the value assigned to a variable in this scope, else its array, else zeros."""
        value = super().get_current_value(variable)
        if value is not None:
            return value
        if variable.path in self.arrays:
            return ops.cast(ops.convert_to_tensor(self.arrays[variable.path]), variable.dtype)
        return ops.zeros(variable.shape, variable.dtype)
