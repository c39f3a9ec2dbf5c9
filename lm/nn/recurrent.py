"""Recurrent layers: a branch in which a cell reads the row from left to right."""

from keras import ops

from lm.nn.branch import Branch, Context, Factory, State, make, refuse_source
from lm.nn.scan import Flow
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Shape, Tensor


@part
class Recurrent(Branch):
    """`y_t = h_t` with `h_t, … = cell(x_t, h_{t-1}, …)`, D → D.

    Every segment starts from a zero state, or from the carry; padding (on the right) holds the
    state.

    Args:
        cell: factory of a layer of `lm.nn.cells`.
        truncation: maximum number of positions through which gradients flow; None is the whole row.
            A segment is divided into windows of this size, counted from its end, and no gradient
            crosses their borders. It does pass through the first position of a row, to where its
            state comes from, and through padding.

    State: that of the cell, [B, D] each; the carry is the same.

    Raises:
        LayerError: if the stack has a `context.source`, or truncation is set for a cell that
            processes all positions in parallel.

    Source: Elman 1990, "Finding structure in time"; the cells name theirs. Truncation: Williams,
    Peng 1990, "An efficient gradient-based algorithm for on-line training of recurrent network
    trajectories".
    """

    def __init__(
        self, *, cell: Factory, truncation: PositiveInt | None = None, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.cell = make(cell, "cell")
        self.truncation = truncation

    def build(self, x_shape: Shape) -> None:
        self.width = x_shape[-1]
        self.cell.build(x_shape)

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        refuse_source(self, context)
        x = ops.cast(x, self.compute_dtype)
        before = self.initial_carry(ops.shape(x)[0]) if state is None else state
        y, after = self.cell(x, flow(x, context, self.truncation), before)
        return ops.cast(y, self.compute_dtype), () if state is None else after

    def initial_state(self, batch: int, length: int) -> State:
        return self.initial_carry(batch)

    def initial_carry(self, batch: int) -> State:
        return self.cell.initial_state(batch, self.width)


def flow(x: Tensor, context: Context, truncation: int | None = None) -> Flow:
    """Returns where the state is reset, held, and cut from the gradient, for x [B, T, D]."""
    segments = context.segments
    if segments is None:
        segments = ops.ones_like(x[..., 0], "int32")
    before = segments[:, :1] if context.carried is None else context.carried[:, None]
    before = ops.concatenate([before, segments[:, :-1]], axis=1)
    holds = ops.equal(segments, 0)
    real = ops.logical_not(holds)
    begins = ops.logical_and(ops.not_equal(segments, before), real)
    if truncation is None:
        return Flow(begins[..., None], holds[..., None])
    is_border = ops.equal(to_end(segments) % truncation, 0)
    cuts = ops.logical_and(ops.logical_and(is_border, real), ops.arange(segments.shape[1]) > 0)
    return Flow(begins[..., None], holds[..., None], cuts[..., None])


def to_end(segments: Tensor) -> Tensor:
    """Returns the number of positions from each one to the end of its segment, int32 [B, T].

    >>> print(np.asarray(to_end(ops.array([[1, 1, 1, 2, 2]]))))
    [[3 2 1 2 1]]
    """
    positions = ops.arange(segments.shape[1], dtype="int32")
    is_later = positions[None] >= positions[:, None]
    is_own = ops.equal(segments[:, :, None], segments[:, None])  # [B, T, T]
    return ops.sum(ops.cast(ops.logical_and(is_own, is_later[None]), "int32"), axis=-1)
