"""Encoder-decoder: the decoder reads what the encoder made of the inputs."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from lm.models.prompt import last_token, real_tokens
from lm.nn.branch import Factory, make
from lm.nn.heads import Factors
from lm.nn.stack import StackState
from lm.parts import part


class EncoderDecoderState(NamedTuple):
    """State of the decoder, and which memory positions are real, int32 [B, S]."""

    decoder: StackState
    memory_segments: Any


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

    def build(self, features_shape: Any) -> None:
        """Leaves it to the parts to build themselves, at their first call."""
        del features_shape

    def call(self, features: Mapping[str, Any]) -> Any:
        return self.logits(self.hidden(features))

    def factors(self, features: Mapping[str, Any]) -> Factors:
        """Returns what the logits of `call` are the product of, once the model is built."""
        table = ops.convert_to_tensor(self.embedding.table)
        return self.head.factors(self.hidden(features), table)

    def hidden(self, features: Mapping[str, Any]) -> Any:
        """Returns what the head reads, [B, T, D]."""
        x, _ = self.decoder(
            self.embedding(features["decoder_input_tokens"]),
            positions=features.get("decoder_positions"),
            segments=features.get("decoder_segment_ids"),
            memory=self.encode(features),
            memory_segments=features.get("encoder_segment_ids"),
        )
        return x

    def encode(self, features: Mapping[str, Any]) -> Any:
        """Returns the memory, [B, S, D]."""
        memory, _ = self.encoder(
            self.embedding(features["encoder_input_tokens"]),
            positions=features.get("encoder_positions"),
            segments=features.get("encoder_segment_ids"),
        )
        return memory

    def logits(self, x: Any) -> Any:
        return self.head(x, ops.convert_to_tensor(self.embedding.table))

    def start(self, features: Mapping[str, Any], length: int) -> tuple[Any, EncoderDecoderState]:
        """Reads the inputs, and the beginning of the targets where one is given, in one call.

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
        _, state = self.decoder(
            self.embedding(tokens),
            segments=real_tokens(tokens, features.get("decoder_segment_ids")),
            memory=self.encode(features),
            memory_segments=memory_segments,
            state=self.decoder.initial_state(tokens.shape[0], length),
        )
        return last_token(tokens, state.index), EncoderDecoderState(state, memory_segments)

    def step(self, tokens: Any, state: EncoderDecoderState) -> tuple[Any, EncoderDecoderState]:
        """Returns the logits [B, V] after one more token per row, int32 [B], and the state."""
        x, decoder = self.decoder(
            self.embedding(tokens[:, None]),
            memory_segments=state.memory_segments,
            state=state.decoder,
        )
        table = ops.convert_to_tensor(self.embedding.table)
        return self.head.step(x[:, 0], table), state._replace(decoder=decoder)
