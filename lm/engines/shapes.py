"""Models of any size as shapes: nothing is drawn, allocated or run."""

from typing import Any

import keras
from keras import ops


class ShapesOnly(keras.StatelessScope):
    """A scope in which variables are made without values; a trace inside reads zeros.

    Keras alone would trace the initializer wherever a variable is read: of a mixture of experts
    that is one draw for each expert.
    """

    def __init__(self) -> None:
        # Else Keras would make the values of all variables when the scope ends.
        super().__init__(initialize_variables=False)

    def get_current_value(self, variable: Any) -> Any:
        """Returns what was assigned to a variable in this scope, or zeros."""
        value = super().get_current_value(variable)
        return ops.zeros(variable.shape, variable.dtype) if value is None else value
