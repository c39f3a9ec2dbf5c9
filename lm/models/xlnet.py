"""XLNet: embedding, a stack with one or two streams, head."""

from typing import Any

import keras
from keras import ops

from lm.models.decoder_only import continuing_segment, with_carry
from lm.models.model import rows_of
from lm.nn.branch import Factory, State, make
from lm.nn.stack_state import Rows
from lm.nn.two_stream_stack import Extras, Predicted
from lm.parts import part
from lm.types import Features, Layer, Shape, Tensor


@part
class XLNet(keras.Model):
    """`head(encoder(E[tokens]))`, for all tokens or only for the predicted ones.

    Without prediction features every token sees its whole segment: an encoder with the same
    weights, for fine-tuning.

    Features: `encoder_input_tokens`; optional `encoder_positions`, `encoder_segment_ids` (packed
    examples, 0 for padding), `encoder_token_types` (0 or 1 for sentence A or B, 2 for [CLS]) and
    `encoder_attention_mask` [B, T, T], which token may see which.

    Prediction features: `encoder_predicted_positions` [B, P], the positions to predict, and
    `encoder_predicted_attention_mask` [B, P, T], what each may see; by default all but itself.

    Features of continuing rows: `encoder_continues` [B], 1 where a row continues the sequence of
    the previous batch's row; `encoder_remembered` [B, T], 1 on tokens to add to the memory, by
    default all; `encoder_direction` [B], -1 where the text of a row is reversed. Called with a
    carry it returns the outputs and the new carry, without gradient.

    Args:
        embedding: factory of the token embedding.
        encoder: factory of the stack, `TwoStreamStack`.
        head: factory of a layer `(x, table, segments) -> y`: logits per token, or a vector per
            row; None returns what the stack returns.

    Source: Yang et al. 2019 (https://arxiv.org/abs/1906.08237).
    """

    sides = ("encoder",)

    def __init__(
        self,
        *,
        embedding: Factory,
        encoder: Factory,
        head: Factory | None = None,
        name: str = "xl_net",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.embedding = make(embedding, "embedding")
        self.encoder = make(encoder, "stack")
        self.head: Layer = make(head, "head") if head else None
        self.vocabulary_size = self.embedding.vocabulary_size

    def build(self, features_shape: Shape) -> None:
        """Sublayers create their variables at their first call."""
        del features_shape

    def call(self, features: Features, carry: State = None) -> Any:
        x, after = self.hidden(features, carry)
        if self.head is not None:
            x = self.head(x, self.embedding.matrix(), features.get("encoder_segment_ids"))
        return with_carry(x, carry, after)

    def logits_input(self, features: Features, carry: State = None) -> Any:
        """Returns what `call` projects to logits, once the model is built."""
        x, after = self.hidden(features, carry)
        return with_carry(self.head.logits_input(x, self.embedding.matrix()), carry, after)

    def hidden(self, features: Features, carry: State = None) -> tuple[Tensor, State]:
        """Returns what the head reads, [B, T, D] or [B, P, D], and the carry after."""
        rows, x = encoder_rows(features), self.embedding(features["encoder_input_tokens"])
        if not carry:
            return self.encoder(x, rows, extras_of(features))[0], ()
        carried = continuing_segment(features["encoder_continues"], rows.segments)
        rows = rows._replace(carried=carried)
        x, after = self.encoder(x, rows, extras_of(features), state=carry)
        return x, keras.tree.map_structure(ops.stop_gradient, after)

    def initial_carry(self, batch: int) -> State:
        """Returns the carry before the first batch; `()` if there is none."""
        return self.encoder.initial_carry(batch)


def encoder_rows(features: Features) -> Rows:
    """Returns positions, segments and mask of the features."""
    mask = features.get("encoder_attention_mask")
    return rows_of(features, "encoder")._replace(attention_mask=mask)


def extras_of(features: Features) -> Extras:
    """Returns the other inputs of the features."""
    positions = features.get("encoder_predicted_positions")
    mask = features.get("encoder_predicted_attention_mask")
    return Extras(
        predicted=None if positions is None else Predicted(positions, mask),
        types=features.get("encoder_token_types"),
        remembered=features.get("encoder_remembered"),
        direction=features.get("encoder_direction"),
    )
