"""The features of one side of a model, as the rows of its stack."""

from keras import ops

from lm.nn.stack_state import Rows
from lm.types import Features, Tensor


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
