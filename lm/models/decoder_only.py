"""Decoder-only language models: embedding, causal stack, logits."""

from typing import Any, NamedTuple

import keras
from keras import ops

from lm.models.model import logits_of, next_logits, prefill, rows_of
from lm.nn.branch import Factory, State, make
from lm.nn.stack_state import Rows
from lm.parts import part
from lm.types import Features, Shape, Tensor


class DecoderState(NamedTuple):
    """State or carry of a decoder-only model."""

    decoder: State


@part
class DecoderOnly(keras.Model):
    """`head(decoder(E[tokens]))`, [B, T] → [B, T, V].

    Features: `decoder_input_tokens`; optional `decoder_positions`, `decoder_segment_ids` and
    `decoder_causal_attention` (1 on a prefix whose tokens all see each other). With a carry also
    `decoder_continues`, int32 [B]: 1 where a row continues the sequence at the end of the previous
    batch's row.

    Called with a carry it returns the outputs and the new carry, without gradient.

    Args:
        embedding: factory of the token embedding.
        decoder: factory of the stack.
        head: factory of a layer `(x, table, segments) -> logits`.

    Source: Radford et al. 2019 (GPT-2); prefix language models: Raffel et al. 2020, section 3.2.
    """

    sides = ("decoder",)

    def __init__(
        self, *, embedding: Factory, decoder: Factory, head: Factory, name: str = "decoder_only"
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.embedding = make(embedding, "embedding")
        self.decoder = make(decoder, "decoder")
        self.head = make(head, "head")
        self.vocabulary_size = self.embedding.vocabulary_size

    def build(self, features_shape: Shape) -> None:
        """Sublayers create their variables at their first call."""
        del features_shape

    def call(self, features: Features, carry: State = None) -> Any:
        x, after = self.hidden(features, carry)
        segments = features.get("decoder_segment_ids")
        return with_carry(self.head(x, self.embedding.matrix(), segments), carry, after)

    def logits_input(self, features: Features, carry: State = None) -> Any:
        """Returns what `call` projects to logits, once the model is built."""
        x, after = self.hidden(features, carry)
        return with_carry(self.head.logits_input(x, self.embedding.matrix()), carry, after)

    def hidden(self, features: Features, carry: State = None) -> tuple[Tensor, State]:
        """Returns what the head reads, [B, T, D], and the carry after."""
        rows = prefixed_rows(features)
        x = self.embedding(features["decoder_input_tokens"])
        if not carry:
            return self.decoder(x, rows)[0], ()
        carried = continuing_segment(features["decoder_continues"], rows.segments)
        x, after = self.decoder(x, rows._replace(carried=carried), state=carry.decoder)
        return x, DecoderState(keras.tree.map_structure(ops.stop_gradient, after))

    def initial_carry(self, batch: int) -> State:
        """Returns the carry before the first batch; `()` if there is none."""
        carry = self.decoder.initial_carry(batch)
        return DecoderState(carry) if carry else ()

    def start(self, features: Features, length: int) -> tuple[Tensor, DecoderState]:
        """Reads the prompts in one call.

        Args:
            features: as for `call`; the first input token is the start token 0, the rest the
                prompt, padded on the right where `decoder_segment_ids` is 0.
            length: positions that the state has slots for, prompt included.

        Returns:
            The last token of each prompt, int32 [B], which is the first to `step` with, and the
            state before it.
        """
        tokens = features["decoder_input_tokens"]
        rows = prefixed_rows(features)._replace(positions=None)
        last, state = prefill(
            self, tokens, rows, self.decoder.initial_state(tokens.shape[0], length)
        )
        return last, DecoderState(state)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Returns the logits [B, V] after one more token per row, int32 [B], and the state."""
        logits, decoder = next_logits(self, tokens, Rows(), state.decoder)
        return logits, DecoderState(decoder)

    def read(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Returns the logits [B, T, V] after each of several tokens [B, T], and the state."""
        logits, decoder = logits_of(self, tokens, Rows(), state.decoder)
        return logits, DecoderState(decoder)


def prefixed_rows(features: Features) -> Rows:
    """Returns positions, segments and prefix of the features."""
    return rows_of(features, "decoder")._replace(prefix=features.get("decoder_causal_attention"))


def continuing_segment(continues: Tensor, segments: Tensor) -> Tensor:
    """Returns the segment that continues the carry, 0 if none does: int32 [B]."""
    return continues if segments is None else continues * segments[:, 0]


def with_carry(outputs: Any, carry: State, after: State) -> Any:
    """Returns the outputs, together with the new carry if one was given."""
    return outputs if carry is None else (outputs, after)
