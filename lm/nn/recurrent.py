"""Recurrence as a branch: a cell reads the row from left to right."""

from keras import ops

from lm.nn.branch import Branch, Context, Factory, State, make, refuse_source
from lm.nn.cells import Flow
from lm.parts import part
from lm.types import Shape, Tensor


@part
class Recurrent(Branch):
    """`y_t = h_t` with `h_t, … = cell(x_t, h_{t-1}, …)`, D → D.

    Every segment begins with a state of zeros, or with the one carried; padding, which rows have
    on the right, holds the state.

    Args:
        cell: factory of a layer of `lm.nn.cells`.

    State: that of the cell, [B, D] each; the same is its carry.

    Raises:
        LayerError: if the stack has it read another row than its own.

    Source: Elman 1990, "Finding structure in time"; the cells name theirs.
    """

    def __init__(self, *, cell: Factory, name: str | None = None) -> None:
        super().__init__(name=name)
        self.cell = make(cell, "cell")

    def build(self, x_shape: Shape) -> None:
        self.width = x_shape[-1]
        self.cell.build(x_shape)

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        refuse_source(self, context)
        x = ops.cast(x, self.compute_dtype)
        before = self.initial_carry(ops.shape(x)[0]) if state is None else state
        y, after = self.cell(x, flow(x, context), before)
        return ops.cast(y, self.compute_dtype), () if state is None else after

    def initial_state(self, batch: int, length: int) -> State:
        return self.initial_carry(batch)

    def initial_carry(self, batch: int) -> State:
        return self.cell.initial_state(batch, self.width)


def flow(x: Tensor, context: Context) -> Flow:
    """Returns where the state of x [B, T, D] begins anew, and where it is held."""
    segments = context.segments
    if segments is None:
        segments = ops.ones_like(x[..., 0], "int32")
    before = segments[:, :1] if context.carried is None else context.carried[:, None]
    before = ops.concatenate([before, segments[:, :-1]], axis=1)
    holds = ops.equal(segments, 0)
    begins = ops.logical_and(ops.not_equal(segments, before), ops.logical_not(holds))
    return Flow(begins[..., None], holds[..., None])
