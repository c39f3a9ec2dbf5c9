"""What search and the commands ask of a model, and the features of a side as rows of its stack."""

from typing import Any, Protocol

from keras import ops

from lm.nn.stack_state import Rows
from lm.types import Features, Tensor


class Model(Protocol):
    """`head(stack(E[tokens]))`, [B, T] → [B, T, V] or what else the head makes, on its `sides`.

    One with a decoder also has `start` and `step`, by which search generates.

    Attributes:
        sides: ("decoder",), ("encoder",) or ("encoder", "decoder"); each is an attribute too, a
            stack, of which a decoder's and an encoder's beside it have `max_sequence_length`.
        vocabulary_size: V.
    """

    sides: tuple[str, ...]
    vocabulary_size: int

    def __call__(self, features: Features) -> Any:
        """Returns what the head makes: logits [B, T, V], vectors [B, D], ..."""


def token_features(tokens: Any) -> Features:
    """Returns features with the same tokens on both sides; a model reads those of its own."""
    return {f"{side}_input_tokens": tokens for side in ("encoder", "decoder")}


def rows_of(features: Features, side: str) -> Rows:
    """Returns the positions and segments that the features of a side bring, where they do.

    >>> rows_of({"encoder_positions": 1, "decoder_segment_ids": 2}, "encoder").positions
    1
    """
    return Rows(
        positions=features.get(f"{side}_positions"), segments=features.get(f"{side}_segment_ids")
    )


def predicted(x: Tensor, features: Features) -> Tensor:
    """Returns the vectors at `encoder_predicted_positions`, [B, P, D]; without them all, [B, T, D].

    >>> x = ops.array([[[1.0], [2.0], [3.0]]])
    >>> print(np.asarray(predicted(x, {"encoder_predicted_positions": ops.array([[2, 0]])})))
    [[[3.]
      [1.]]]
    """
    positions = features.get("encoder_predicted_positions")
    return x if positions is None else ops.take_along_axis(x, positions[..., None], axis=1)
