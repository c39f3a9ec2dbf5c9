"""Encoder-decoders: the decoder reads the outputs of the encoder."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import keras
from keras import ops

from lm.models.model import logits_of, next_logits, prefill, rows_of
from lm.nn.branch import Factory, State, make
from lm.nn.handover import Begun, before_row, nan_if_packed
from lm.nn.heads import LogitsInput
from lm.nn.stack_state import Rows, StackState
from lm.parts import part
from lm.types import Features, Shape, Tensor

Handover: TypeAlias = Callable[[State, State], State]
"""`(encoder states after the row, initial decoder states) -> initial decoder states`."""


class EncoderDecoderState(NamedTuple):
    """State of the decoder, and the segments of the memory, int32 [B, S]."""

    decoder: StackState
    memory_segments: Tensor


@part
class EncoderDecoder(keras.Model):
    """`head(decoder(E[targets], memory = encoder(E[inputs])))`, → [B, T, V].

    Features: `encoder_input_tokens`, `decoder_input_tokens`; optional `encoder_positions`,
    `encoder_segment_ids`, `decoder_positions`, `decoder_segment_ids`.

    With a handover, rows must not be packed; the outputs of packed rows are NaN.

    Args:
        embedding: factory of the token embedding of targets and, by default, of inputs.
        encoder, decoder: factories of the stacks.
        head: factory of a layer `(x, table) -> logits`.
        source_embedding: factory of a separate embedding of the inputs, or None.
        handover: `handover.last_state` starts the decoder from the final states of the encoder;
            None from zeros.

    Source: Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762); with a handover and no
    attention Sutskever et al. 2014 (https://arxiv.org/abs/1409.3215).
    """

    sides = ("encoder", "decoder")

    def __init__(
        self,
        *,
        embedding: Factory,
        encoder: Factory,
        decoder: Factory,
        head: Factory,
        source_embedding: Factory | None = None,
        handover: Handover | None = None,
        name: str = "encoder_decoder",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.embedding = make(embedding, "embedding")
        self.source_embedding = (
            make(source_embedding, "source_embedding") if source_embedding else self.embedding
        )
        self.handover = handover
        self.max_segments = 1 if handover else None
        self.encoder = make(encoder, "encoder")
        self.decoder = make(decoder, "decoder")
        self.head = make(head, "head")
        self.vocabulary_size = self.embedding.vocabulary_size

    def build(self, features_shape: Shape) -> None:
        """Sublayers create their variables at their first call."""
        del features_shape

    def call(self, features: Features) -> Tensor:
        return self.head(self.hidden(features), self.embedding.matrix())

    def logits_input(self, features: Features) -> LogitsInput:
        """Returns what `call` projects to logits, once the model is built."""
        return self.head.logits_input(self.hidden(features), self.embedding.matrix())

    def hidden(self, features: Features) -> Tensor:
        """Returns what the head reads, [B, T, D]."""
        x = self.embedding(features["decoder_input_tokens"])
        rows, last = self.encoded(features, rows_of(features, "decoder"))
        if not last:
            return self.decoder(x, rows)[0]
        state = self.begun(before_row(self.decoder, x, rows), last)
        return nan_if_packed(self.decoder(x, rows, state=state)[0], rows.segments)

    def encoded(self, features: Features, rows: Rows) -> tuple[Rows, State]:
        """Returns the decoder's rows with the memory, and the encoder's final states."""
        x = self.source_embedding(features["encoder_input_tokens"])
        none = ops.zeros((x.shape[0],), "int32")
        mine = rows_of(features, "encoder")._replace(carried=none)
        state = before_row(self.encoder, x, mine) if self.handover else None
        memory, after = self.encoder(x, mine, state=state)
        rows = rows._replace(
            memory=memory,
            memory_segments=features.get("encoder_segment_ids"),
            carried=ops.ones_like(none),
        )
        return rows, after.residuals if after else ()

    def begun(self, state: Begun, last: State) -> Begun:
        """Returns the decoder's initial state, with the encoder's states if handed over."""
        if self.handover is None:
            return state
        return state._replace(residuals=self.handover(last, state.residuals))

    def start(self, features: Features, length: int) -> tuple[Tensor, EncoderDecoderState]:
        """Reads the inputs, and a prefix of the targets if given, in one call.

        Args:
            features: as for `call`; without `decoder_input_tokens` targets start with token 0.
            length: decoder positions that the state has slots for.

        Returns:
            The last decoder token of each row, int32 [B], which is the first to `step` with, and
            the state before it.
        """
        inputs = features["encoder_input_tokens"]
        memory_segments = features.get("encoder_segment_ids", ops.ones_like(inputs))
        tokens = features.get("decoder_input_tokens", ops.zeros_like(inputs[:, :1]))
        rows, last = self.encoded(features, Rows(segments=features.get("decoder_segment_ids")))
        rows = rows._replace(memory_segments=memory_segments)
        state = self.begun(self.decoder.initial_state(tokens.shape[0], length), last)
        first, state = prefill(self, tokens, rows, state)
        return first, EncoderDecoderState(state, memory_segments)

    def step(
        self, tokens: Tensor, state: EncoderDecoderState
    ) -> tuple[Tensor, EncoderDecoderState]:
        """Returns the logits [B, V] after one more token per row, int32 [B], and the state."""
        rows = Rows(memory_segments=state.memory_segments)
        logits, decoder = next_logits(self, tokens, rows, state.decoder)
        return logits, state._replace(decoder=decoder)

    def read(
        self, tokens: Tensor, state: EncoderDecoderState
    ) -> tuple[Tensor, EncoderDecoderState]:
        """Returns the logits [B, T, V] after each of several tokens [B, T], and the state."""
        rows = Rows(memory_segments=state.memory_segments)
        logits, decoder = logits_of(self, tokens, rows, state.decoder)
        return logits, state._replace(decoder=decoder)
