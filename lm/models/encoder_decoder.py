"""Encoder-decoder: the decoder reads what the encoder makes of the inputs."""

from typing import NamedTuple

import keras
from keras import ops

from lm.models.decoding import next_logits, prefill
from lm.models.features import rows_of
from lm.nn.branch import Factory, make
from lm.nn.heads import LogitsInput
from lm.nn.stack_state import Rows, StackState
from lm.parts import part
from lm.types import Features, Shape, Tensor


class EncoderDecoderState(NamedTuple):
    """State of the decoder, and which memory positions are real, int32 [B, S]."""

    decoder: StackState
    memory_segments: Tensor


@part
class EncoderDecoder(keras.Model):
    """`head(decoder(E[targets], memory = encoder(E[inputs])))`, → [B, T, V].

    Features: `encoder_input_tokens`, `decoder_input_tokens`, and where there are any
    `encoder_positions`, `encoder_segment_ids`, `decoder_positions`, `decoder_segment_ids`.

    Args:
        embedding: factory of the token embedding, shared by both sides.
        encoder, decoder: factories of the stacks.
        head: factory of a layer `(x, table) -> logits`.

    Source: Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762).
    """

    sides = ("encoder", "decoder")

    def __init__(
        self,
        *,
        embedding: Factory,
        encoder: Factory,
        decoder: Factory,
        head: Factory,
        name: str = "encoder_decoder",
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.embedding = make(embedding, "embedding")
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
        rows = rows_of(features, "decoder")._replace(
            memory=self.encode(features), memory_segments=features.get("encoder_segment_ids")
        )
        return self.decoder(self.embedding(features["decoder_input_tokens"]), rows)[0]

    def encode(self, features: Features) -> Tensor:
        """Returns the memory, [B, S, D]."""
        x = self.embedding(features["encoder_input_tokens"])
        return self.encoder(x, rows_of(features, "encoder"))[0]

    def start(self, features: Features, length: int) -> tuple[Tensor, EncoderDecoderState]:
        """Reads the inputs, and a prefix of the targets where one is given, in one call.

        Args:
            features: as for `call`; without `decoder_input_tokens` targets start with token 0.
            length: decoder positions the state has room for.

        Returns:
            The last decoder token of each row, int32 [B], which is the first to `step` with, and
            the state before it.
        """
        inputs = features["encoder_input_tokens"]
        memory_segments = features.get("encoder_segment_ids", ops.ones_like(inputs))
        tokens = features.get("decoder_input_tokens", ops.zeros_like(inputs[:, :1]))
        rows = Rows(
            segments=features.get("decoder_segment_ids"),
            memory=self.encode(features),
            memory_segments=memory_segments,
        )
        last, state = prefill(self, tokens, rows, length)
        return last, EncoderDecoderState(state, memory_segments)

    def step(
        self, tokens: Tensor, state: EncoderDecoderState
    ) -> tuple[Tensor, EncoderDecoderState]:
        """Returns the logits [B, V] after one more token per row, int32 [B], and the state."""
        rows = Rows(memory_segments=state.memory_segments)
        logits, decoder = next_logits(self, tokens, rows, state.decoder)
        return logits, state._replace(decoder=decoder)
