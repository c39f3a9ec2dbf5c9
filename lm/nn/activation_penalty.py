"""Activation regularisation of recurrent outputs: penalties on their size and their changes."""

from keras import ops

from lm.nn.branch import Branch, Context, State
from lm.nn.dropout import Dropout
from lm.nn.reports import report
from lm.parts import part
from lm.ranges import NonNegativeFloat, UnitFloat
from lm.types import Tensor


@part
class ActivationPenalty(Branch):
    """`y = dropout(x)`; minimises `alpha · mean y² + beta · mean (x_t - x_{t-1})²`.

    Both are means over the units of real tokens; the second over pairs inside a segment.

    Args:
        dropout: rate of the variational dropout, one draw for all positions of a row (0.4).
        alpha: factor of the activation regularisation (2).
        beta: factor of the temporal activation regularisation (1).

    State: none.

    Source: Merity et al. 2017 (https://arxiv.org/abs/1708.02182), section 4.3.
    """

    def __init__(
        self,
        *,
        dropout: UnitFloat = 0.0,
        alpha: NonNegativeFloat,
        beta: NonNegativeFloat,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.dropout = Dropout(rate=dropout, broadcast_axes=[1], name="dropout")
        self.alpha = alpha
        self.beta = beta

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        del state
        y = self.dropout(ops.cast(x, self.compute_dtype))
        segments = context.segments
        if segments is None:
            segments = ops.ones_like(x[..., 0], "int32")
        real = ops.cast(segments > 0, "float32")
        pairs = real[:, 1:] * ops.cast(ops.equal(segments[:, 1:], segments[:, :-1]), "float32")
        report_mean_square("activation_penalty", y, real, self.alpha)
        report_mean_square("slowness_penalty", x[:, 1:] - x[:, :-1], pairs, self.beta)
        return y, ()


def report_mean_square(name: str, x: Tensor, weights: Tensor, loss: float) -> None:
    """Reports the mean of x² over positions of weight 1, [B, T, D] and [B, T], as a loss."""
    squares = ops.sum(ops.square(ops.cast(x, "float32")), axis=-1)  # [B, T]
    report(name, ops.sum(squares * weights), ops.sum(weights) * x.shape[-1], loss=loss)
