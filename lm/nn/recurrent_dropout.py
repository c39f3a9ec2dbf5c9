"""Regularization inside recurrent cells: weight drop, recurrent dropout, zoneout.

Each wraps a cell that can be stepped (`cells.stepping`). For dropout on inputs or outputs of a
layer use `dropout.Dropout`; with `broadcast_axes = [1]` its mask is the same at all positions of a
row, as in the variational dropout of Gal and Ghahramani.
"""

import functools
from collections.abc import Sequence

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Factory, State
from lm.nn.cells import in_turn, stepping
from lm.nn.dropout import Dropout
from lm.nn.kernels import Matrix, given_copies, matrix
from lm.nn.scan import Flow
from lm.parts import part
from lm.ranges import UnitFloat
from lm.types import Shape, Tensor, Tree


@part
class WeightDrop(keras.layers.Layer):
    """A cell with `h_{t-1} (U ⊙ m / (1 - rate))` in place of `h_{t-1} U`, m drawn once per call.

    Args:
        cell: factory of a cell that can be stepped; in a GRU only the matrix of the two gates.
        rate: fraction of the weights that are 0 in training (0.5).

    State: that of the cell.

    Source: Merity et al. 2017 (https://arxiv.org/abs/1708.02182), section 2; Wan et al. 2013,
    "Regularization of neural networks using DropConnect".
    """

    def __init__(self, *, cell: Factory, rate: UnitFloat, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self.cell = stepping(cell)
        self.dropout = Dropout(rate=rate, name="dropout")

    def build(self, x_shape: Shape) -> None:
        self.cell.build(x_shape)

    def call(self, x: Tensor, flow: Flow, state: State) -> tuple[Tensor, State]:
        kernel = self.cell.recurrent.kernel
        dropped = ops.cast(self.dropout(matrix(kernel)), self.compute_dtype)
        with given_copies({id(kernel): Matrix(dropped)}):
            return self.cell(x, flow, state)

    def initial_state(self, batch: int, width: int) -> State:
        return self.cell.initial_state(batch, width)


@part
class RecurrentDropout(keras.layers.Layer):
    """A cell with `(h_{t-1} ⊙ m / (1 - rate)) U` in place of `h_{t-1} U`, m drawn once per row.

    Args:
        cell: factory of a cell that can be stepped; in a GRU only the product of the two gates.
        rate: fraction of h that is 0 in training.

    State: that of the cell.

    Source: Gal, Ghahramani 2016 (https://arxiv.org/abs/1512.05287), equation 7, one m for all
    gates.
    """

    def __init__(self, *, cell: Factory, rate: UnitFloat, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self.cell = stepping(cell)
        self.dropout = Dropout(rate=rate, name="dropout")

    def build(self, x_shape: Shape) -> None:
        self.cell.build(x_shape)

    def call(self, x: Tensor, flow: Flow, state: State) -> tuple[Tensor, State]:
        keep_mask = self.dropout(ops.ones_like(x[:, 0]))  # [B, D], 0 or 1 / (1 - rate)

        def recurrent(h: Tensor) -> Tensor:
            return self.cell.recurrent(h * ops.cast(keep_mask, h.dtype))

        step = functools.partial(self.cell.step, recurrent=recurrent)
        return in_turn(step, self.cell.inputs(x), flow, state)

    def initial_state(self, batch: int, width: int) -> State:
        return self.cell.initial_state(batch, width)


@part
class Zoneout(keras.layers.Layer):
    """`s_t = z_t ⊙ s_{t-1} + (1 - z_t) ⊙ cell(x_t, s_{t-1})` for each tensor s of a cell's state.

    In training z_t is 1 with probability `rate` at each position and unit, else 0; in evaluation it
    equals the rate.

    Args:
        cell: factory of a cell that can be stepped.
        rates: one for each tensor of the cell's state; for an LSTM h (0.05) and c (0.5).

    State: that of the cell.

    Raises:
        LayerError: if the state has another number of tensors.

    Source: Krueger et al. 2017 (https://arxiv.org/abs/1606.01305), section 3.2.
    """

    def __init__(
        self, *, cell: Factory, rates: Sequence[UnitFloat], name: str | None = None
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.cell = stepping(cell)
        self.dropouts = [Dropout(rate=r, name=f"dropout_{i}") for i, r in enumerate(rates)]

    def build(self, x_shape: Shape) -> None:
        self.cell.build(x_shape)

    def call(self, x: Tensor, flow: Flow, state: State) -> tuple[Tensor, State]:
        if len(keras.tree.flatten(state)) != len(self.dropouts):
            raise LayerError(
                f"recurrent_dropout.Zoneout.rates has {len(self.dropouts)} numbers, the state of "
                f"{type(self.cell).__name__} {len(keras.tree.flatten(state))} tensors"
            )
        ones = ops.ones_like(x, dtype="float32")
        # 1 - z: 0 or 1 in training, 1 - rate otherwise.
        moves = [(1 - dropout.rate) * dropout(ones) for dropout in self.dropouts]

        def step(now: tuple[Tree, list[Tensor]], before: State) -> State:
            inputs, moves = now
            after = self.cell.step(inputs, before)
            pairs = zip(keras.tree.flatten(before), keras.tree.flatten(after), moves, strict=True)
            mixed = [s + ops.cast(move, s.dtype) * (new - s) for s, new, move in pairs]
            return keras.tree.pack_sequence_as(before, mixed)

        return in_turn(step, (self.cell.inputs(x), moves), flow, state)

    def initial_state(self, batch: int, width: int) -> State:
        return self.cell.initial_state(batch, width)
