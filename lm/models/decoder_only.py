"""Decoder-only language model: embed, one causal stack, logits."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from lm.models.prompt import last_token, real_tokens
from lm.nn.branch import Factory, State, make
from lm.nn.stack import StackCarry, StackState
from lm.parts import part


class DecoderState(NamedTuple):
    """State or carry of the one stack."""

    decoder: StackState | StackCarry


@part
class DecoderOnly(keras.Model):
    """`head(decoder(E[tokens]))`, [B, T] → [B, T, V].

    Features: `decoder_input_tokens`, and where there are any `decoder_positions`,
    `decoder_segment_ids`, `decoder_causal_attention` (a prefix whose tokens all see each other).
    Beside a carry `decoder_continues`, int32 [B]: 1 where a row goes on with the text that the row
    of the last batch ended with.

    Called with a carry it returns the outputs and the carry after, cut from the gradient.

    Args:
        embedding: factory of the token embedding.
        decoder: factory of the stack.
        head: factory of a layer `(x, table) -> logits`.

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

    def build(self, features_shape: Any) -> None:
        """Leaves it to the parts to build themselves, at their first call."""
        del features_shape

    def call(self, features: Mapping[str, Any], carry: State = None) -> Any:
        x, after = self.hidden(features, carry)
        return beside(self.logits(x), carry, after)

    def factors(self, features: Mapping[str, Any], carry: State = None) -> Any:
        """Returns what the logits of `call` are the product of, once the model is built."""
        x, after = self.hidden(features, carry)
        return beside(
            self.head.factors(x, ops.convert_to_tensor(self.embedding.table)), carry, after
        )

    def hidden(self, features: Mapping[str, Any], carry: State = None) -> tuple[Any, State]:
        """Returns what the head reads, [B, T, D], and the carry after."""
        segments = features.get("decoder_segment_ids")
        x, after = self.decoder(
            self.embedding(features["decoder_input_tokens"]),
            positions=features.get("decoder_positions"),
            segments=segments,
            prefix=features.get("decoder_causal_attention"),
            carried=first_segment(features["decoder_continues"], segments) if carry else None,
            state=carry.decoder if carry else None,
        )
        return x, DecoderState(keras.tree.map_structure(ops.stop_gradient, after)) if carry else ()

    def initial_carry(self, batch: int) -> State:
        """Returns the carry before the first batch of so many rows; `()` where nothing is kept."""
        carry = self.decoder.initial_carry(batch)
        return DecoderState(carry) if carry else ()

    def logits(self, x: Any) -> Any:
        return self.head(x, ops.convert_to_tensor(self.embedding.table))

    def start(self, features: Mapping[str, Any], length: int) -> tuple[Any, DecoderState]:
        """Reads the prompts in one call.

        Args:
            features: as for `call`; the first input token is the start token 0, the rest the
                prompt, padded on the right where `decoder_segment_ids` is 0.
            length: positions the state has room for, prompt included.

        Returns:
            The last token of each prompt, int32 [B], which is the first to `step` with, and the
            state before it.
        """
        tokens = features["decoder_input_tokens"]
        real = real_tokens(tokens, features.get("decoder_segment_ids"))
        _, state = self.decoder(
            self.embedding(tokens),
            segments=real,
            prefix=features.get("decoder_causal_attention"),
            state=self.decoder.initial_state(tokens.shape[0], length),
        )
        return last_token(tokens, state.index), DecoderState(state)

    def step(self, tokens: Any, state: DecoderState) -> tuple[Any, DecoderState]:
        """Returns the logits [B, V] after one more token per row, int32 [B], and the state."""
        x, decoder = self.decoder(self.embedding(tokens[:, None]), state=state.decoder)
        table = ops.convert_to_tensor(self.embedding.table)
        return self.head.step(x[:, 0], table), DecoderState(decoder)


def first_segment(continues: Any, segments: Any) -> Any:
    """Returns the segment that goes on with the carry, 0 where a row begins anew: int32 [B]."""
    return continues if segments is None else continues * segments[:, 0]


def beside(outputs: Any, carry: State, after: State) -> Any:
    """Returns the outputs, and with them the carry after where one was given."""
    return outputs if carry is None else (outputs, after)
