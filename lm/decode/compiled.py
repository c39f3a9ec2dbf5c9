"""Functions of a model's weights, compiled by Keras for the current engine."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np

from lm.decode.kernel_copies import KernelCopies
from lm.types import Tree


class CompiledByShape:
    """`function(model, inputs)`, compiled once for each combination of input shapes.

    The weights are arguments of the compiled function, not constants, so later calls see changed
    weights.

    Args:
        model: the built model whose weights the function reads.
        function: `(model, inputs) -> outputs`, trees of tensors.
        copies: copies of the model's kernels to use in products; None for the model's own.
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
        # One per shape: Keras would replace a varying dimension by an unknown one, and a search
        # cannot allocate its state for an unknown batch size.
        self._programs: dict[tuple[Any, ...], _Program] = {}

    def __call__(self, inputs: Tree) -> Tree:
        """Returns the outputs as NumPy arrays; inputs are a tree of NumPy arrays."""
        inputs = keras.tree.map_structure(np.asarray, inputs)
        shapes = tuple((x.shape, x.dtype.str) for x in keras.tree.flatten(inputs))
        if shapes not in self._programs:
            self._programs[shapes] = _Program(self)
        return self._programs[shapes].predict_on_batch(inputs)

    def trace(self, inputs: Tree) -> Tree:
        """Returns `function(model, inputs)`, as tensors."""
        with self.copies.given() if self.copies else nullcontext():
            return self.function(self.model, inputs)


class _Program(keras.Model):
    """A `CompiledByShape` as a model, whose predict step Keras compiles."""

    def __init__(self, source: CompiledByShape) -> None:
        super().__init__(name="program", autocast=False)
        self.source = source
        # Keras passes the variables of its attributes to the compiled function.
        self.model = source.model
        self.copied = source.copies.variables if source.copies else []
        self.jit_compile = True
        # All variables are the model's; Keras would run the function once to look for others.
        self.built = True

    def call(self, inputs: Tree) -> Tree:
        """Returns the outputs as tensors."""
        return self.source.trace(inputs)
