"""Narrow copies of a model's kernels, for faster search.

A search step reads every kernel once, and on a CPU that takes most of its time. Kernels are copied
as rows, [F, D], in bfloat16, or in int8 with a float32 scale per row. The model keeps its own
kernels; embedding lookups still use them.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import keras
import numpy as np
from keras import ops

from lm.nn.embedding import TokenEmbedding
from lm.nn.heads import Logits
from lm.nn.kernels import Dense, KernelCopy, given_copies, kernel_first
from lm.types import Tensor

Barrier: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

WIDTHS = {"bfloat16": 2, "int8": 1}  # bytes
_LARGEST = 127  # of int8
# Up to this many rows of x are multiplied one by one; for more, widening the kernel is faster.
_NARROW_ROWS = 2
_MANY = 2**30


class Kernel(NamedTuple):
    """A variable that layers multiply by.

    Attributes:
        variable: W [D, F], or a table E [V, D].
        is_table: whether it is stored as rows already, one per output.
    """

    variable: Any
    is_table: bool

    def transposed(self, x: Any) -> Any:
        """Returns a kernel as rows, or rows as the kernel."""
        return x if self.is_table else ops.transpose(x)


def kernels(model: Any) -> Iterator[Kernel]:
    """Yields the kernels of a built model's dense layers, and its token tables.

    Experts, routers, convolutions and recurrent matrices outside dense layers are not copied.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, Dense | Logits):
            yield Kernel(layer.kernel, is_table=False)
        elif isinstance(layer, TokenEmbedding):
            yield Kernel(layer.table, is_table=True)


class NarrowCopy(NamedTuple):
    """A kernel or table as narrow rows, bfloat16 or int8, with a scale for each row."""

    kernel: Kernel
    rows: Tensor
    scale: Tensor
    wide: Tensor
    barrier: Barrier

    def product(self, x: Tensor) -> Tensor:
        """Returns x W: for few rows of x from the narrow copy, else from the widened one."""
        if row_count(x) <= _NARROW_ROWS:
            return each_row(x, self.narrow_products)
        wide = ops.cast(self.wide, x.dtype)
        if self.kernel.is_table:
            return each_row(x, lambda flat: kernel_first(flat, wide))
        return ops.matmul(x, wide)

    def narrow_products(self, x: Tensor) -> Tensor:
        """Returns [B, F] for x [B, D], row by row.

        The compiler fuses the cast into a product with a single row; for several rows it would
        write the wide kernel to memory at every step.
        """
        rows, x = self.barrier(self.rows, x)
        kernel = ops.transpose(ops.cast(rows, x.dtype))  # [D, F]
        products = [ops.matmul(x[b : b + 1], kernel) for b in range(x.shape[0])]
        return ops.concatenate(products) * ops.cast(self.scale, x.dtype)

    def matrix(self) -> Tensor:
        """Returns the rounded kernel or table, float32."""
        return self.wide


class KernelCopies:
    """Copies of all kernels of a model, taken once: they do not follow later changes of the model.

    Args:
        model: built.
        width: one of `WIDTHS`.
        barrier: optimization barrier that keeps computations on its arguments inside a loop.

    Attributes:
        variables: the copies and their scales.
    """

    def __init__(self, model: Any, width: str, barrier: Barrier) -> None:
        self.kernels = list(kernels(model))
        self.barrier = barrier
        self.copies = [rounded(k.transposed(k.variable), width) for k in self.kernels]
        self.variables = [x for copy in self.copies for x in copy]

    @contextmanager
    def given(self) -> Iterator[None]:
        """Makes the layers of the model use the copies."""
        with given_copies(dict(self.read())):
            yield

    def read(self) -> Iterator[tuple[int, KernelCopy]]:
        """Yields each variable's `id` and its copy as tensors of the function that is compiled."""
        for kernel, copy in zip(self.kernels, self.copies, strict=True):
            rows, scale = (ops.convert_to_tensor(x) for x in copy)
            # Outside the loop of a search; the compiler drops it if nothing reads it.
            wide = kernel.transposed(ops.cast(rows, "float32") * scale[:, None])
            yield id(kernel.variable), NarrowCopy(kernel, rows, scale, wide, self.barrier)


def rounded(rows: Tensor, width: str) -> tuple[Any, Any]:
    """Returns variables with the rounded rows and their scales."""
    values = np.asarray(ops.convert_to_numpy(rows), "float32")
    scale = np.ones(len(values), "float32")
    if width == "int8":
        largest = np.abs(values).max(axis=1)
        scale = np.where(largest > 0, largest / _LARGEST, 1.0)
        values = np.rint(values / scale[:, None])
    return constant(values, width), constant(scale, "float32")


def constant(values: np.ndarray, dtype: str) -> Any:
    """Returns a non-trainable variable."""
    return keras.Variable(ops.cast(values, dtype), dtype=dtype, trainable=False, name="copy")


def copied_bytes(model: Any, width: str) -> int:
    """Returns the size of copies in bytes, without making them."""
    return WIDTHS[width] * sum(math.prod(k.variable.shape) for k in kernels(model))


def row_count(x: Tensor) -> int:
    """Returns the number of vectors in x [..., D]; a large number if it is unknown."""
    return _MANY if None in x.shape[:-1] else math.prod(x.shape[:-1])


def each_row(x: Tensor, multiply: Callable[[Tensor], Tensor]) -> Tensor:
    """Applies a product of [B, D] → [B, F] to x [..., D]."""
    y = multiply(ops.reshape(x, (-1, x.shape[-1])))
    return ops.reshape(y, (*x.shape[:-1], y.shape[-1]))
