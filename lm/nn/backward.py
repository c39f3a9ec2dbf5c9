"""Reading a row from right to left."""

from keras import ops

from lm.nn.branch import Branch, Context, Factory, State, make
from lm.parts import part
from lm.types import Tensor


@part
class Backward(Branch):
    """`R(branch(R(x)))`, where R reverses the tokens of every segment and leaves padding in place.

    An encoder whose branches are all `Backward` reads the reversed source. Combined with the same
    branch in a `parallel.Parallel` it is a bidirectional layer.

    Args:
        branch: factory of a branch that reads from left to right.

    State: that of the branch after the first token of the row; states are not continued from row
    to row.

    Source: Schuster, Paliwal 1997; Sutskever et al. 2014 (https://arxiv.org/abs/1409.3215), section
    3.3, for the reversed source.
    """

    looks_ahead = "backward.Backward.branch"

    def __init__(self, *, branch: Factory, name: str | None = None) -> None:
        super().__init__(name=name)
        self.branch = make(branch)

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        segments = context.segments
        if segments is None:
            segments = ops.ones_like(x[..., 0], "int32")
        order = turned_around(segments)[..., None]  # [B, T, 1]
        y, after = self.branch(ops.take_along_axis(x, order, axis=1), context, state=state)
        return ops.take_along_axis(y, order, axis=1), after

    def initial_state(self, batch: int, length: int) -> State:
        return self.branch.initial_state(batch, length)


def turned_around(segments: Tensor) -> Tensor:
    """Returns the position that each token moves to when segments are reversed, int32 [B, T].

    The permutation is its own inverse; padding stays in place.

    >>> print(np.asarray(turned_around(ops.array([[1, 1, 1, 2, 2, 0, 0]]))))
    [[2 1 0 4 3 5 6]]
    """
    positions = ops.arange(segments.shape[1], dtype="int32")[None]
    same = ops.equal(segments[:, :, None], segments[:, None])
    same = ops.cast(same, "int32")  # [B, T, T]
    first = ops.cast(ops.argmax(same, axis=-1), "int32")
    last = first + ops.sum(same, axis=-1) - 1
    return ops.where(segments > 0, first + last - positions, positions)
