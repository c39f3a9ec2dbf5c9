"""Sparse updates: the rows of a table that a batch reads, updated as by the dense rule."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from keras import ops

from lm.types import Tensor


class SparseRule(Protocol):
    """An elementwise update rule, for single rows.

    Attributes:
        slots: name -> initial value of each slot of a table.
    """

    slots: Mapping[str, float]

    def __call__(
        self, rows: Tensor, slots: Sequence[Tensor], gradient: Tensor, rate: Tensor
    ) -> list[Tensor]:
        """Returns the new rows and slots, [K, D] each."""


class Touched(NamedTuple):
    """The rows of a table that a batch reads, with repetitions.

    Attributes:
        ids: int32 [K].
        values: rows of the table, then of each slot, [K, D] each.
        gradient: by the rows of the table, [K, D].
    """

    ids: Tensor
    values: Sequence[Tensor]
    gradient: Tensor

    def summed(self) -> "Touched":
        """Returns the same with gradients summed over repetitions of a row, [K, D]."""
        same = ops.cast(ops.equal(self.ids[:, None], self.ids[None]), self.gradient.dtype)  # [K, K]
        return self._replace(gradient=ops.matmul(same, self.gradient))

    def distinct(self) -> Tensor:
        """Returns the summed gradients at the first occurrence of each row, elsewhere 0, [K, D]."""
        same = ops.equal(self.ids[:, None], self.ids[None])
        first = ops.cast(ops.argmax(same, axis=1), "int32")
        is_first = first == ops.arange(self.ids.shape[0], dtype="int32")
        return ops.where(is_first[:, None], self.gradient, 0.0)
