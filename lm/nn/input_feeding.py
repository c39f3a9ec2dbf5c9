"""Luong's decoder with input feeding: the attention output at one position is input at the next."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from keras import ops

from lm.nn import handover
from lm.nn.branch import Branch, Context, Factory, State, make, refuse_source
from lm.nn.cache import Shared
from lm.nn.cells import in_turn, stepping
from lm.nn.dropout import Dropout
from lm.nn.initializers import Initializer, initializer
from lm.nn.luong import remembered
from lm.nn.projections import built_dense
from lm.nn.recurrent import flow
from lm.parts import part
from lm.ranges import UnitFloat
from lm.types import Shape, Tensor, Tree


class Fed(NamedTuple):
    """State of `InputFeeding`.

    Attributes:
        h: h̃, the output of attention at the last position, [B, D].
        cells: states of the cells.
        memory: keys and values, `Shared`; `()` except in decoding.
    """

    h: Tensor
    cells: tuple[State, ...]
    memory: Tree = ()


@part
class InputFeeding(Branch):
    """`h̃_t = attention(s_t)`, `s_t = cell_n(… cell_1([x_t; h̃_{t-1}]))`, D → D.

    All layers of the decoder form one recurrence, advanced position by position. Only the
    projections of x_t are computed for all positions at once.

    Args:
        cells: factories of cells that step, the lowest first.
        attention: factory of a `luong.LuongAttention`.
        dropout: rate on the output of every cell.
        kernel_initializer: name or factory of the initial values of the matrix that reads h̃.

    State: `Fed`.

    Raises:
        LayerError: if the stack has no memory, or a cell does not step.

    Source: Luong et al. 2015 (https://arxiv.org/abs/1508.04025), section 3.3.
    """

    logical_axes: ClassVar = {"feed/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        cells: Sequence[Factory],
        attention: Factory,
        dropout: UnitFloat = 0.0,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.cells = [stepping(cell, f"cell_{i}") for i, cell in enumerate(cells)]
        self.dropouts = [Dropout(rate=dropout, name=f"dropout_{i}") for i in range(len(cells))]
        self.attention = make(attention, "attention")
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Shape) -> None:
        self.width = x_shape[-1]
        for cell in self.cells:
            cell.build(x_shape)
        units = self.cells[0].inputs.units
        self.feed = built_dense("feed", x_shape, units, self.kernel_initializer)
        self.attention.build(x_shape)

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        refuse_source(self, context)
        x = ops.cast(x, self.compute_dtype)
        before = self.initial_state(ops.shape(x)[0], 0) if state is None else state
        memory = remembered(self.attention, context, before.memory)
        masks = [dropout(ops.ones_like(x)) for dropout in self.dropouts]  # 0 or 1 / (1 - rate)

        def step(now: tuple[Tensor, list[Tensor], Tree], before: Fed) -> Fed:
            inputs, masks, visible = now
            y, after = self.climb(inputs + self.feed(before.h), before.cells, masks)
            mask = visible[:, None, None] if context.memory_mask is not None else None
            return Fed(self.attention.attend(y[:, None], memory, mask)[:, 0], after)

        inputs = self.cells[0].inputs(x), masks, by_position(context.memory_mask, x.shape[1])
        y, after = in_turn(step, inputs, flow(x, context), before._replace(memory=()))
        if context.index is not None:
            after = after._replace(memory=Shared(memory))
        return y, () if state is None else after

    def climb(
        self, x: Tensor, before: tuple[State, ...], masks: list[Tensor]
    ) -> tuple[Tensor, tuple[State, ...]]:
        """Returns the output of the last cell and the states after a position.

        Args:
            x: projected input of the first cell.
            before: states of the cells.
            masks: factors of their outputs, [B, D] each.
        """
        after = []
        for i, cell in enumerate(self.cells):
            after.append(cell.step(cell.inputs(x) if i > 0 else x, before[i]))
            x = ops.cast(after[i].h, masks[i].dtype) * masks[i]
        return x, tuple(after)

    def initial_state(self, batch: int, length: int) -> Fed:
        del length
        zeros = ops.zeros((batch, self.width), self.compute_dtype)
        return Fed(zeros, tuple(cell.initial_state(batch, self.width) for cell in self.cells))


def by_position(mask: Tensor, length: int) -> Tree:
    """Returns the memory mask of each position, [B, 1, T or 1, S] → [B, T, S]; `()` for None."""
    if mask is None:
        return ()
    return ops.broadcast_to(mask[:, 0], (mask.shape[0], length, mask.shape[3]))


@part
def last_state(last: State, initial: State) -> State:
    """Returns the initial state of the decoder's `InputFeeding`, with the encoder's cell states.

    Args:
        last: states of the encoder's layers after the row.
        initial: `(Fed,)`, all zeros; h̃ remains zero.

    Raises:
        LayerError: if encoder and cells do not have the same state tensors.

    Source: Luong et al. 2015 (https://arxiv.org/abs/1508.04025), sections 2 and 3.3.
    """
    (fed,) = initial
    return (fed._replace(cells=handover.last_state(last, fed.cells)),)
