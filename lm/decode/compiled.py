"""Functions of a model's weights, compiled by Keras for whichever engine runs."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np

from lm.decode.kernel_copies import KernelCopies
from lm.types import Tree


class CompiledFunction(keras.Model):
    """A function of a model and inputs as a model of its own: Keras compiles its predict step.

    The weights are arguments of the compiled function, not constants in it: a later call sees
    changed weights.

    Args:
        model: whose weights the function reads; built already.
        function: `(model, inputs) -> outputs`, trees of tensors.
        copies: of the model's kernels, to multiply by; None for the model's own.
    """

    def __init__(
        self,
        model: keras.Model,
        function: Callable[[Any, Tree], Tree],
        copies: KernelCopies | None = None,
    ) -> None:
        super().__init__(name="program", autocast=False)
        self.model = model
        self.function = function
        self.copies = copies
        self.copied = copies.variables if copies else []  # so that Keras hands them in
        self.jit_compile = True
        # All variables are the model's; Keras would run the function once to look for others.
        self.built = True

    def call(self, inputs: Tree) -> Tree:
        """Returns `function(model, inputs)`."""
        with self.copies.given() if self.copies else nullcontext():
            return self.function(self.model, inputs)


class CompiledByShape:
    """A function compiled once for each combination of input shapes.

    Keras would relax a shape that changes to an unknown one, and a state cannot be made for an
    unknown batch size.

    Args:
        model: as for `CompiledFunction`.
        function: as for `CompiledFunction`.
        copies: as for `CompiledFunction`.
    """

    def __init__(
        self,
        model: keras.Model,
        function: Callable[[Any, Tree], Tree],
        copies: KernelCopies | None = None,
    ) -> None:
        self.model = model
        self.function = function
        self.copies = copies
        self.compiled: dict[tuple[Any, ...], CompiledFunction] = {}

    def __call__(self, inputs: Tree) -> Tree:
        """Returns the outputs as NumPy arrays; inputs are a tree of NumPy arrays."""
        inputs = keras.tree.map_structure(np.asarray, inputs)
        shapes = tuple((x.shape, x.dtype.str) for x in keras.tree.flatten(inputs))
        if shapes not in self.compiled:
            self.compiled[shapes] = CompiledFunction(self.model, self.function, self.copies)
        return self.compiled[shapes].predict_on_batch(inputs)
