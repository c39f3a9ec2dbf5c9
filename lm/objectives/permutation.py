"""Permutation language modelling: predict tokens in random order, each from the ones before."""

from typing import Any

import keras
from keras import ops

from lm.nn.branch import Factory, State, make
from lm.nn.masks import causal
from lm.objectives.cross_entropy import likelihood
from lm.objectives.objective import Ratio, RowScores
from lm.parts import part
from lm.types import Features, Shape, Tensor


@part
class Permutation(keras.Model):
    """`-Σ_i w_i · log p(x_i | x_j with rank_j < rank_i) / Σ w` over the predicted positions i.

    Attention is causal in the order of the ranks. The content stream of a token sees tokens of its
    rank or lower, including itself; the query stream of a predicted token only those of lower rank:

        tokens            a b c d     ranks -1 0 -1 1: b and d are predicted, b first
        b and d may see   a c   and   a b c

    Tokens of rank -1 see each other but no predicted tokens. Ranks in a later part of the row are
    above all ranks of an earlier part.

    Features: those of `xlnet.XLNet`, and `encoder_ranks` int32 [B, T], `encoder_target_tokens`
    int32 [B, P] and `encoder_loss_weights` float32 [B, P] of the predicted positions. Called with a
    carry it returns the outputs and the new carry.

    Reports `predicted_share`, the fraction of tokens that are predicted.

    Args:
        model: factory of the model whose outputs are logits [B, P, V].

    Source: Yang et al. 2019 (https://arxiv.org/abs/1906.08237), sections 2.2 and 2.3.
    """

    def __init__(self, *, model: Factory, name: str = "permutation") -> None:
        super().__init__(name=name, autocast=False)
        self.model = make(model)

    def build(self, features_shape: Shape) -> None:
        """The model creates its variables at its first call."""
        del features_shape

    def call(self, features: Features, carry: State = None) -> Any:
        given = {} if carry is None else {"carry": carry}
        return self.model({**features, **attention_masks(features)}, **given)

    def initial_carry(self, batch: int) -> State:
        """Returns the carry of the model before the first batch."""
        return self.model.initial_carry(batch)

    def terms(self, features: Features, outputs: Any) -> dict[str, Ratio]:
        """Returns the sums to minimise ("loss") and to report, each a `Ratio`."""
        rows = self.scores(features, outputs)
        loss, correct, weight = (
            ops.sum(x) for x in (-rows.log_likelihood, rows.correct, rows.weight)
        )
        predicted = features["encoder_loss_weights"] > 0
        tokens = features["encoder_segment_ids"] > 0
        return {
            "loss": Ratio(loss, weight),
            "cross_entropy": Ratio(loss, weight),
            "accuracy": Ratio(correct, weight),
            "predicted_share": Ratio(
                *(ops.sum(ops.cast(x, "float32")) for x in (predicted, tokens))
            ),
        }

    def scores(self, features: Features, outputs: Any) -> RowScores:
        """Returns the sums of every row, float32 [B]: log-likelihood, correct, weight."""
        weights = ops.cast(features["encoder_loss_weights"], "float32")
        found = likelihood(ops.cast(outputs, "float32"), features["encoder_target_tokens"])
        return RowScores(
            log_likelihood=ops.sum(found.log_prob * weights, axis=-1),
            correct=ops.sum(found.correct * weights, axis=-1),
            weight=ops.sum(weights, axis=-1),
        )


def attention_masks(features: Features) -> dict[str, Tensor]:
    """Returns the attention masks of tokens and of predicted positions.

    Without ranks there are no masks, and the model is an ordinary encoder.

    >>> ranks, positions = ops.array([[-1, 0, -1, 1]]), ops.array([[1, 3]])
    >>> masks = attention_masks({"encoder_ranks": ranks, "encoder_predicted_positions": positions})
    >>> print(1 * np.asarray(masks["encoder_predicted_attention_mask"][0]))
    [[1 0 1 0]
     [1 1 1 0]]
    """
    if "encoder_ranks" not in features:
        return {}
    ranks, positions = features["encoder_ranks"], features["encoder_predicted_positions"]
    of_predicted = ops.take_along_axis(ranks, positions, axis=1)  # [B, P]
    return {
        "encoder_attention_mask": causal(ranks, ranks),
        "encoder_predicted_attention_mask": causal(of_predicted - 1, ranks),
    }
