"""The protocol of models, and prefill and steps of those with a decoder.

Prompts of different lengths may share a batch, padded on the right.
"""

from typing import Any, Protocol

from keras import ops

from lm.nn.stack_state import Rows, StackState
from lm.types import Features, Tensor


class Model(Protocol):
    """`head(stack(E[tokens]))`, [B, T] → [B, T, V] or another output of the head.

    Models with a decoder also have `start` and `step`, which search uses.

    Attributes:
        sides: ("decoder",), ("encoder",) or ("encoder", "decoder"). Each side is also an attribute,
            a stack; those of a model with a decoder have `max_sequence_length`.
        vocabulary_size: V.
    """

    sides: tuple[str, ...]
    vocabulary_size: int

    def __call__(self, features: Features) -> Any:
        """Returns the outputs of the head: logits [B, T, V], vectors [B, D], ..."""


def token_features(tokens: Any) -> Features:
    """Returns features with the same tokens on both sides; a model ignores the other side."""
    return {f"{side}_input_tokens": tokens for side in ("encoder", "decoder")}


def rows_of(features: Features, side: str) -> Rows:
    """Returns positions and segments from the features of a side, if there are any.

    >>> rows_of({"encoder_positions": 1, "decoder_segment_ids": 2}, "encoder").positions
    1
    """
    return Rows(
        positions=features.get(f"{side}_positions"), segments=features.get(f"{side}_segment_ids")
    )


def predicted(x: Tensor, features: Features) -> Tensor:
    """Returns the vectors at `encoder_predicted_positions`, [B, P, D], by default all, [B, T, D].

    >>> x = ops.array([[[1.0], [2.0], [3.0]]])
    >>> print(np.asarray(predicted(x, {"encoder_predicted_positions": ops.array([[2, 0]])})))
    [[[3.]
      [1.]]]
    """
    positions = features.get("encoder_predicted_positions")
    return x if positions is None else ops.take_along_axis(x, positions[..., None], axis=1)


def prefill(model: Any, tokens: Tensor, rows: Rows, state: StackState) -> tuple[Tensor, StackState]:
    """Reads prompts in one call.

    Args:
        model: with an `embedding` and a `decoder`.
        tokens: int32 [B, T], the prompts.
        rows: the other inputs of the decoder.
        state: of the decoder before the prompts, with slots for them.

    Returns:
        The last token of each prompt, int32 [B], which is the first to step with, and the state
        before it.
    """
    _, state = model.decoder(
        model.embedding(tokens),
        rows._replace(segments=real_tokens(tokens, rows.segments)),
        state=state,
    )
    return last_token(tokens, state.index), state


def next_logits(
    model: Any, tokens: Tensor, rows: Rows, state: StackState
) -> tuple[Tensor, StackState]:
    """Returns the logits [B, V] after one more token per row, int32 [B], and the state after."""
    x, state = model.decoder(model.embedding(tokens[:, None]), rows, state=state)  # [B, 1, D]
    return model.head.step(x[:, 0], model.embedding), state


def real_tokens(tokens: Tensor, segments: Tensor) -> Tensor:
    """Marks with 1 the tokens that a prefill reads: all of a row but its last, int32 [B, T].

    The last one is read by the first step. So prefill needs no logits, and every new token,
    including the first, comes from the same loop.

    >>> print(np.asarray(real_tokens(ops.array([[0, 7, 8, 0]]), ops.array([[1, 1, 1, 0]]))))
    [[1 1 0 0]]
    """
    count = tokens.shape[1]
    positions = ops.arange(count, dtype="int32")[None]
    if segments is None:
        lengths = ops.full((tokens.shape[0], 1), count, dtype="int32")
    else:
        lengths = ops.sum(ops.cast(segments > 0, "int32"), axis=1, keepdims=True)  # [B, 1]
    return ops.cast(positions < lengths - 1, "int32")


def last_token(tokens: Tensor, index: Tensor) -> Tensor:
    """Returns tokens[b, index[b]], int32 [B]."""
    return ops.take_along_axis(tokens, index[:, None], axis=1)[:, 0]


def logits_of(
    model: Any, tokens: Tensor, rows: Rows, state: StackState
) -> tuple[Tensor, StackState]:
    """Returns the logits [B, T, V] after each of several more tokens, int32 [B, T], and the state.

    The same as `next_logits` applied to one token after the other.
    """
    x, state = model.decoder(model.embedding(tokens), rows, state=state)  # [B, T, D]
    return model.head(x, model.embedding.matrix()), state
