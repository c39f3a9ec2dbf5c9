"""Narrow copies of a model's kernels, which a search multiplies by.

A step of a search reads every kernel once, and on a CPU that is most of its time. Kernels are
copied as rows, [F, D], in bfloat16 or in int8 with one float32 scale a row. The model keeps its
own, from which embeddings are taken.
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
# Rows of x that are multiplied one by one; of more, a product with the widened kernel is faster.
_NARROW_ROWS = 2
_MANY = 2**30


class Kernel(NamedTuple):
    """A variable that layers multiply by.

    Attributes:
        variable: W [D, F], or a table E [V, D].
        is_table: whether it lies as rows already, one for each output.
    """

    variable: Any
    is_table: bool

    def transposed(self, x: Any) -> Any:
        """Returns a kernel as rows, or rows as the kernel."""
        return x if self.is_table else ops.transpose(x)


def kernels(model: Any) -> Iterator[Kernel]:
    """Yields the kernels of a built model that steps read whole, and its tables of tokens.

    Those of experts and routers, recurrent matrices that are not dense layers and convolutions are
    left as they are.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, Dense | Logits):
            yield Kernel(layer.kernel, is_table=False)
        elif isinstance(layer, TokenEmbedding):
            yield Kernel(layer.table, is_table=True)


class NarrowCopy(NamedTuple):
    """A kernel or table of which narrow rows are kept, bfloat16 or int8, and a scale for each."""

    kernel: Kernel
    rows: Tensor
    scale: Tensor
    wide: Tensor
    barrier: Barrier

    def product(self, x: Tensor) -> Tensor:
        """Returns x W, of few rows of x with the narrow copy, else with what it was widened to."""
        if row_count(x) <= _NARROW_ROWS:
            return each_row(x, self.narrow_products)
        wide = ops.cast(self.wide, x.dtype)
        if self.kernel.is_table:
            return each_row(x, lambda flat: kernel_first(flat, wide))
        return ops.matmul(x, wide)

    def narrow_products(self, x: Tensor) -> Tensor:
        """Returns [B, F] for x [B, D]; the compiler fuses a cast into a product with one row.

        Before a product with several it would write the wide kernel to memory at every step.
        """
        rows, x = self.barrier(self.rows, x)
        kernel = ops.transpose(ops.cast(rows, x.dtype))  # [D, F]
        products = [ops.matmul(x[b : b + 1], kernel) for b in range(x.shape[0])]
        return ops.concatenate(products) * ops.cast(self.scale, x.dtype)

    def matrix(self) -> Tensor:
        """Returns the rounded kernel or table, float32."""
        return self.wide


class KernelCopies:
    """Copies of all kernels of a model, taken once: later changes of the model do not reach them.

    Args:
        model: built.
        width: one of `WIDTHS`.
        barrier: keeps what is computed of its arguments inside of a loop.

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
        """Lets the layers of the model multiply by the copies."""
        with given_copies(dict(self.read())):
            yield

    def read(self) -> Iterator[tuple[int, KernelCopy]]:
        """Yields each variable's `id` and its copy as tensors of the function that is compiled."""
        for kernel, copy in zip(self.kernels, self.copies, strict=True):
            rows, scale = (ops.convert_to_tensor(x) for x in copy)
            # Here, not in the loop of a search; where nothing reads it, it is not computed.
            wide = kernel.transposed(ops.cast(rows, "float32") * scale[:, None])
            yield id(kernel.variable), NarrowCopy(kernel, rows, scale, wide, self.barrier)


def rounded(rows: Tensor, width: str) -> tuple[Any, Any]:
    """Returns variables of the rows in a width and of a scale for each."""
    values = np.asarray(ops.convert_to_numpy(rows), "float32")
    scale = np.ones(len(values), "float32")
    if width == "int8":
        largest = np.abs(values).max(axis=1)
        scale = np.where(largest > 0, largest / _LARGEST, 1.0)
        values = np.rint(values / scale[:, None])
    return constant(values, width), constant(scale, "float32")


def constant(values: np.ndarray, dtype: str) -> Any:
    """Returns a variable that no training changes."""
    return keras.Variable(ops.cast(values, dtype), dtype=dtype, trainable=False, name="copy")


def copied_bytes(model: Any, width: str) -> int:
    """Returns the bytes that copies of a width take, before they are made."""
    return WIDTHS[width] * sum(math.prod(k.variable.shape) for k in kernels(model))


def row_count(x: Tensor) -> int:
    """Returns the number of vectors in x [..., D]; many where the engine does not know it."""
    return _MANY if None in x.shape[:-1] else math.prod(x.shape[:-1])


def each_row(x: Tensor, multiply: Callable[[Tensor], Tensor]) -> Tensor:
    """Applies a product of [B, D] → [B, F] to x [..., D]."""
    y = multiply(ops.reshape(x, (-1, x.shape[-1])))
    return ops.reshape(y, (*x.shape[:-1], y.shape[-1]))
