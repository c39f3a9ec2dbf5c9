"""Auxiliary losses for long rows: windows decoded from the state at random positions (anchors).

r-LSTM reconstructs the tokens before an anchor, p-LSTM predicts those after it.

    tokens          a b c d e f g h        anchor 5: the state has read a … e
    before, l = 3       c d e
    after, l = 3              f g h
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Factory, State, make
from lm.nn.handover import before_row
from lm.nn.random import uniform
from lm.nn.reports import report
from lm.nn.stack_state import Rows
from lm.objectives.cross_entropy import likelihood
from lm.objectives.labels import model_rows
from lm.objectives.objective import Ratio, RowScores
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt
from lm.types import Features, Shape, Tensor

Window: TypeAlias = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""(anchors [B, n], sizes of the rows [B, 1], length) -> where windows begin and end, [B, n]."""


@part
def before(anchors: Tensor, sizes: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The tokens that end at the anchor: reconstruction, r-LSTM."""
    del sizes
    return ops.maximum(anchors - length, 0), anchors


@part
def after(anchors: Tensor, sizes: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The tokens that follow the anchor: prediction, p-LSTM."""
    return anchors, ops.minimum(anchors + length, sizes)


@part
class Auxiliary(keras.Model):
    """`label_weight · L_labels + Σ_i L_i / Σ_i l_i`, L_i = Σ -log p(token) over window i.

    The decoder generates a window of l tokens from the state at its anchor: the state of its lowest
    layer starts from the output of the model's stack there, those of the others from zero. The same
    model predicts the labels.

    Features: those of the objective of the labels, one example a row.

    Args:
        model: factory of a decoder-only model with a `LabelHead`, over recurrent layers.
        objective: factory of the objective of the labels, `labels.Labels` or
            `linear_gain.LinearGain`.
        decoder: factory of a stack of recurrent layers as wide as the model.
        head: factory of the logits of its tokens.
        window: `before` or `after`.
        num_anchors: windows of a row, their anchors drawn uniformly (1).
        length: tokens l of a window (600).
        label_weight: 0 trains on the windows alone, the first of the paper's two stages.

    Raises:
        LayerError: the lowest layer of the decoder keeps no state.

    Source: Trinh et al. 2018 (https://arxiv.org/abs/1803.00144), sections 3.1 and 3.2. Gradients of
    both losses are truncated where `recurrent.Recurrent.truncation` says so.
    Departures: windows start from the output h of the main LSTM, not from its memory c, and are
    decoded without truncation in `objectives/auxiliary.gin`, so that all their tokens reach that
    state; the logits are those of the embedding, the classifier has one hidden layer.
    """

    def __init__(  # noqa: PLR0913 - the parts of two networks, keyword-only
        self,
        *,
        model: Factory,
        objective: Factory,
        decoder: Factory,
        head: Factory,
        window: Window,
        num_anchors: PositiveInt = 1,
        length: PositiveInt = 600,
        label_weight: NonNegativeFloat = 1.0,
        name: str = "auxiliary",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.model = make(model)
        self.objective = objective(model=lambda name: self.model, name="labels")
        self.decoder = make(decoder, "decoder")
        self.head = make(head, "head")
        self.window = window
        self.num_anchors = num_anchors
        self.length = length
        self.label_weight = label_weight

    def build(self, features_shape: Shape) -> None:
        """The parts create their variables at their first call."""
        del features_shape
        self.seed = keras.random.SeedGenerator(name="seed")

    def call(self, features: Features) -> Tensor:
        rows = model_rows(self.model.sides, features)
        if not self.model.built:
            self.model(rows)  # creates the weights, under their own names
        x, _ = self.model.hidden(rows)  # [B, T, D]
        tokens = rows["decoder_input_tokens"]
        segments = rows.get("decoder_segment_ids", ops.ones_like(tokens))
        self.report_windows(x, tokens, ops.sum(ops.cast(segments > 0, "int32"), 1, keepdims=True))
        return self.model.head(x, self.model.embedding.matrix(), segments)

    def report_windows(self, x: Tensor, tokens: Tensor, sizes: Tensor) -> None:
        """Reports the loss of the windows of rows of so many real tokens, int32 [B, 1]."""
        share = uniform((tokens.shape[0], self.num_anchors), self.seed)
        anchors = 1 + ops.cast(share * ops.cast(sizes, "float32"), "int32")  # [B, n], 1 … T
        written, real = cut_out(tokens, self.window(anchors, sizes, self.length), self.length)
        h = ops.take_along_axis(x, anchors[..., None] - 1, axis=1)  # [B, n, D]
        logits = self.write(ops.reshape(h, (-1, x.shape[-1])), written, real)
        found = likelihood(ops.cast(logits, "float32"), written)
        weights = ops.cast(real, "float32")
        report("auxiliary_loss", -ops.sum(found.log_prob * weights), ops.sum(weights), loss=1.0)

    def write(self, h: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
        """Returns the logits of windows [W, l] that begin from h [W, D], [W, l, V]."""
        x = self.model.embedding(ops.pad(tokens[:, :-1], [[0, 0], [1, 0]]))
        rows = Rows(segments=real, carried=ops.ones_like(real[:, 0]))
        state = before_row(self.decoder, x, rows)
        first, *others = state.residuals
        if not keras.tree.flatten(first):
            raise LayerError("the lowest layer of Auxiliary.decoder has no state to start from")
        begun = keras.tree.map_structure(lambda s: ops.cast(h, s.dtype), first)
        y, _ = self.decoder(x, rows, state=state._replace(residuals=(begun, *others)))
        return self.head(y, self.model.embedding.matrix())

    def initial_carry(self, batch: int) -> State:
        """Returns `()`: rows are independent."""
        return self.objective.initial_carry(batch)

    def terms(self, features: Features, outputs: Any) -> dict[str, Ratio]:
        """Returns the sums to minimise ("loss") and to report, each a `Ratio`."""
        terms = self.objective.terms(features, outputs)
        total, weight = terms["loss"]
        return terms | {"loss": Ratio(self.label_weight * total, weight)}

    def scores(self, features: Features, outputs: Any) -> RowScores:
        """Returns the sums of every row, as the objective of the labels does."""
        return self.objective.scores(features, outputs)

    def predictions(self, features: Features, outputs: Any) -> Tensor:
        """Returns the probability of each label, float32 [B, 1, L]."""
        return self.objective.predictions(features, outputs)


def cut_out(tokens: Tensor, borders: tuple[Tensor, Tensor], length: int) -> tuple[Tensor, Tensor]:
    """Returns windows of rows, padded on the right, and which of their tokens are real.

    Args:
        tokens: int32 [B, T].
        borders: begin and end of each window, int32 [B, n] each.
        length: of the widest window.

    Returns:
        Two of int32 [B · n, length].

    Example:
        >>> borders = ops.array([[1, 3]]), ops.array([[3, 4]])
        >>> windows, real = cut_out(ops.array([[5, 6, 7, 8]]), borders, 2)
        >>> print(np.asarray(windows * real).tolist())
        [[6, 7], [8, 0]]
    """
    begin, end = (x[..., None] for x in borders)
    index = begin + ops.arange(length, dtype="int32")  # [B, n, l]
    real = ops.cast(index < end, "int32")
    flat = ops.reshape(ops.clip(index, 0, tokens.shape[1] - 1), (tokens.shape[0], -1))
    windows = ops.take_along_axis(tokens, flat, axis=1)
    return ops.reshape(windows, (-1, length)), ops.reshape(real, (-1, length))
