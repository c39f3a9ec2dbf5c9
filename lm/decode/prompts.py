"""What a model reads before it writes: features made of prompts of different lengths.

A maker takes token ids, one list per row, and a width, and pads on the right. Segment ids are 1 at
the prompt and 0 at padding; padding changes no result.
"""

from collections.abc import Callable, Sequence

import numpy as np

Prompts = Sequence[Sequence[int]]
Features = dict[str, np.ndarray]
Maker = Callable[[Prompts, int], Features]

START = 0
"""The token every decoder begins with."""

_NARROW, _STEP = 16, 64


def continued(prompts: Prompts, width: int) -> Features:
    """Returns features for a decoder-only model that continues each prompt.

    Example:
        >>> continued([[7, 8], []], 4)["decoder_input_tokens"].tolist()
        [[0, 7, 8, 0], [0, 0, 0, 0]]
    """
    tokens, segments = padded([[START, *prompt] for prompt in prompts], width)
    return {"decoder_input_tokens": tokens, "decoder_segment_ids": segments}


def answered(prompts: Prompts, width: int) -> Features:
    """Returns features for a prefix language model, in which a prompt sees all of itself."""
    features = continued(prompts, width)
    return {**features, "decoder_causal_attention": features["decoder_segment_ids"]}


def translated(prompts: Prompts, width: int) -> Features:
    """Returns features for an encoder-decoder, whose encoder reads the prompts.

    Example:
        >>> translated([[7, 8, 1]], 4)["encoder_segment_ids"].tolist()
        [[1, 1, 1, 0]]
    """
    tokens, segments = padded(prompts, width)
    return {"encoder_input_tokens": tokens, "encoder_segment_ids": segments}


def padded(rows: Prompts, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns tokens and segment ids, int32 [B, width]."""
    tokens = np.zeros((len(rows), width), "int32")
    segments = np.zeros((len(rows), width), "int32")
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
        segments[i, : len(row)] = 1
    return tokens, segments


def bucket(length: int) -> int:
    """Returns the padded width for a length: 16, 32, 64 and then multiples of 64.

    Widths are few, because a search is compiled anew for each.

    Example:
        >>> [bucket(length) for length in (3, 16, 17, 64, 65, 130)]
        [16, 16, 32, 64, 128, 192]
    """
    if length > _STEP:
        return -(-length // _STEP) * _STEP
    return max(_NARROW, 1 << (length - 1).bit_length())
