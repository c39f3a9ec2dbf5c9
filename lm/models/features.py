"""The features of one side of a model, as the rows of its stack."""

from lm.nn.stack_state import Rows
from lm.types import Features


def rows_of(features: Features, side: str) -> Rows:
    """Returns the positions and segments that the features of a side bring, where they do.

    >>> rows_of({"encoder_positions": 1, "decoder_segment_ids": 2}, "encoder").positions
    1
    """
    return Rows(
        positions=features.get(f"{side}_positions"), segments=features.get(f"{side}_segment_ids")
    )
