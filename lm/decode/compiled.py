"""Functions of a model's weights, compiled by Keras for whichever engine runs."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


class Program(keras.Model):
    """A function of a model and inputs as a model of its own: Keras compiles its predict step.

    The weights are arguments of the compiled function, not constants in it, so that a program
    stays right when they change.

    Args:
        model: whose weights the function reads; built already.
        function: `(model, inputs) -> outputs`, trees of tensors.
    """

    def __init__(self, model: keras.Model, function: Callable[[Any, Any], Any]) -> None:
        super().__init__(name="program", autocast=False)
        self.model = model
        self.function = function
        self.jit_compile = True
        # All variables are the model's; Keras would run the function once to look for others.
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Returns `function(model, inputs)`."""
        return self.function(self.model, inputs)


class Programs:
    """A function compiled once for each combination of input shapes.

    Keras would relax a shape that changes to an unknown one, and a state cannot be made for an
    unknown batch; hence one program for each.

    Args:
        model: as for `Program`.
        function: as for `Program`.
    """

    def __init__(self, model: keras.Model, function: Callable[[Any, Any], Any]) -> None:
        self.model = model
        self.function = function
        self.programs: dict[tuple[Any, ...], Program] = {}

    def __call__(self, inputs: Any) -> Any:
        """Returns the outputs as NumPy arrays; inputs are a tree of NumPy arrays."""
        inputs = keras.tree.map_structure(np.asarray, inputs)
        shapes = tuple((x.shape, x.dtype.str) for x in keras.tree.flatten(inputs))
        if shapes not in self.programs:
            self.programs[shapes] = Program(self.model, self.function)
        return self.programs[shapes].predict_on_batch(inputs)
