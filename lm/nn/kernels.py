"""Products of layers with their kernels, for which copies may be substituted.

A search has copies with a faster memory layout or narrower numbers; weight drop has one whose
entries are dropped. Layers call `product` and need not know.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

import keras
from keras import ops

from lm.scoped import scoped
from lm.types import Tensor, Training


class KernelCopy(Protocol):
    """A copy of one variable: a kernel W [D, F], or a table E [V, D]."""

    def product(self, x: Tensor) -> Tensor:
        """Returns x W, [..., D] → [..., F], or of a table x Eᵀ, [..., D] → [..., V]."""

    def matrix(self) -> Tensor:
        """Returns the copy in the shape of the variable."""


class Matrix(NamedTuple):
    """A copy that is another matrix of the same shape."""

    values: Tensor

    def product(self, x: Tensor) -> Tensor:
        return ops.matmul(x, self.values)

    def matrix(self) -> Tensor:
        return self.values


_COPIES: ContextVar[Mapping[int, KernelCopy] | None] = ContextVar("copies", default=None)


def product(x: Tensor, kernel: Any) -> Tensor:
    """Returns `x W`, [..., D] → [..., F].

    Args:
        x: [..., D].
        kernel: the variable W, [D, F].
    """
    copy = _copy(kernel)
    return copy.product(x) if copy else ops.matmul(x, kernel)


def table_product(x: Tensor, table: Any) -> Tensor:
    """Returns `x Eᵀ` of one position per row, [B, D] → [B, V].

    Computed as E xᵀ and transposed: a CPU then reads the table, by far the larger factor, in memory
    order, which takes half the time for up to a few dozen rows.

    Args:
        x: [B, D].
        table: the variable E, [V, D].
    """
    copy = _copy(table)
    return copy.product(x) if copy else kernel_first(x, ops.cast(table, x.dtype))


def kernel_first(x: Tensor, kernel: Tensor) -> Tensor:
    """Returns `(K xᵀ)ᵀ`, [B, D] → [B, F], of a kernel K [F, D]."""
    y = ops.matmul(kernel, ops.transpose(x))  # [F, B]
    # The third axis keeps XLA from folding this transpose into the product.
    return ops.transpose(y[:, :, None], (1, 2, 0))[:, 0]


def matrix(variable: Any) -> Tensor:
    """Returns a kernel or a table as a tensor."""
    copy = _copy(variable)
    return copy.matrix() if copy else ops.convert_to_tensor(variable)


class Dense(keras.layers.Dense):
    """`activation(x W + b)`, [..., D] → [..., F], with the product of `product`."""

    def call(self, inputs: Tensor, training: Training = None) -> Tensor:
        del training
        x = product(inputs, self.kernel)
        x = x if self.bias is None else ops.add(x, self.bias)
        return x if self.activation is None else self.activation(x)


def given_copies(copies: Mapping[int, KernelCopy]) -> AbstractContextManager[None]:
    """Makes layers use copies of these kernels, too: `id` of a variable -> its copy."""
    return scoped(_COPIES, value={**(_COPIES.get() or {}), **copies})


def _copy(variable: Any) -> KernelCopy | None:
    """Returns the current copy of a variable, or None."""
    return (_COPIES.get() or {}).get(id(variable))
