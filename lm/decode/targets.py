"""Rows in which the targets are given: features for the log-likelihood of a text.

A row is made of inputs, which are only read, and targets, which are scored.
"""

from collections.abc import Callable, Sequence

import numpy as np

from lm.decode.prompts import START, Features, padded

Pair = tuple[Sequence[int], Sequence[int]]
EMPTY: Pair = ([], [])
RowMaker = Callable[[Sequence[Pair], int, int], Features]


def after_inputs(pairs: Sequence[Pair], inputs_width: int, targets_width: int) -> Features:
    """Returns features of a decoder that reads inputs and targets one after the other.

    Args:
        pairs: inputs and targets of each row.
        inputs_width: padded length of the inputs.
        targets_width: padded length of the targets; a row is as long as both.

    Example:
        >>> features = after_inputs([([7, 8], [3, 1])], 2, 3)
        >>> features["decoder_input_tokens"].tolist(), features["decoder_loss_weights"].tolist()
        ([[0, 7, 8, 3, 0]], [[0.0, 0.0, 1.0, 1.0, 0.0]])
    """
    width = inputs_width + targets_width
    joined = [[*inputs, *targets] for inputs, targets in pairs]
    tokens, segments = padded(joined, width)
    places = np.arange(width, dtype="int32")[None]
    read = np.array([[len(inputs)] for inputs, _ in pairs])
    return {
        "decoder_input_tokens": padded([[START, *row][: len(row)] for row in joined], width)[0],
        "decoder_target_tokens": tokens,
        "decoder_loss_weights": (segments * (places >= read)).astype("float32"),
        "decoder_segment_ids": segments,
        "decoder_positions": places * segments,
    }


def after_prefix(pairs: Sequence[Pair], inputs_width: int, targets_width: int) -> Features:
    """Returns features of a prefix language model, whose inputs all see each other."""
    features = after_inputs(pairs, inputs_width, targets_width)
    segments = features["decoder_segment_ids"]
    read = np.array([[len(inputs)] for inputs, _ in pairs])
    prefix = segments * (np.arange(segments.shape[1])[None] <= read)
    return {**features, "decoder_causal_attention": prefix.astype("int32")}


def after_encoder(pairs: Sequence[Pair], inputs_width: int, targets_width: int) -> Features:
    """Returns features of an encoder-decoder, whose encoder reads the inputs."""
    tokens, segments = padded([inputs for inputs, _ in pairs], inputs_width)
    targets: list[Pair] = [([], targets) for _, targets in pairs]
    return {
        "encoder_input_tokens": tokens,
        "encoder_segment_ids": segments,
        "encoder_positions": np.arange(inputs_width, dtype="int32")[None] * segments,
        **after_inputs(targets, 0, targets_width),
    }
