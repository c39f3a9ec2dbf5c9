"""Makes a model's features from prompts to continue, or from inputs and targets to score.

Rows are padded on the right; segment ids are 1 at tokens and 0 at padding. Padding does not change
any result.
"""

from collections.abc import Callable, Sequence

import numpy as np

from lm.types import Batch

Prompts = Sequence[Sequence[int]]
"""Token ids, a list for each row."""

Pair = tuple[Sequence[int], Sequence[int]]
EMPTY: Pair = ([], [])
"""Inputs, which are only read, and targets, which are scored."""

PromptPacker = Callable[[Prompts, int], Batch]
"""Prompts, padded width -> features."""

PairPacker = Callable[[Sequence[Pair], int, int], Batch]
"""Pairs, padded width of the inputs, of the targets -> features."""

START = 0
"""The default start token of decoders."""

_SMALLEST_BUCKET, _BUCKET_STEP = 16, 64


def causal_prompts(prompts: Prompts, width: int, *, start: int = START) -> Batch:
    """Returns features for a decoder-only model that continues each prompt.

    Example:
        >>> causal_prompts([[7, 8], []], 4)["decoder_input_tokens"].tolist()
        [[0, 7, 8, 0], [0, 0, 0, 0]]
    """
    tokens, segments = padded([[start, *prompt] for prompt in prompts], width)
    return {"decoder_input_tokens": tokens, "decoder_segment_ids": segments}


def prefix_prompts(prompts: Prompts, width: int) -> Batch:
    """Returns features for a prefix language model, in which a prompt sees all of itself."""
    features = causal_prompts(prompts, width)
    return {**features, "decoder_causal_attention": features["decoder_segment_ids"]}


def encoder_prompts(prompts: Prompts, width: int) -> Batch:
    """Returns features for an encoder-decoder, whose encoder reads the prompts.

    Example:
        >>> encoder_prompts([[7, 8, 1]], 4)["encoder_segment_ids"].tolist()
        [[1, 1, 1, 0]]
    """
    tokens, segments = padded(prompts, width)
    return {"encoder_input_tokens": tokens, "encoder_segment_ids": segments}


def causal_pairs(
    pairs: Sequence[Pair], inputs_width: int, targets_width: int, *, start: int = START
) -> Batch:
    """Returns features of a decoder that reads inputs and targets one after the other.

    Args:
        pairs: inputs and targets of each row.
        inputs_width: padded length of the inputs.
        targets_width: padded length of the targets; a row has the sum of both.
        start: the start token.

    Example:
        >>> features = causal_pairs([([7, 8], [3, 1])], 2, 3)
        >>> features["decoder_input_tokens"].tolist(), features["decoder_loss_weights"].tolist()
        ([[0, 7, 8, 3, 0]], [[0.0, 0.0, 1.0, 1.0, 0.0]])
    """
    width = inputs_width + targets_width
    joined = [[*inputs, *targets] for inputs, targets in pairs]
    tokens, segments = padded(joined, width)
    positions = np.arange(width, dtype="int32")[None]
    input_lengths = np.array([[len(inputs)] for inputs, _ in pairs])  # [B, 1]
    return {
        "decoder_input_tokens": padded([[start, *row][: len(row)] for row in joined], width)[0],
        "decoder_target_tokens": tokens,
        "decoder_loss_weights": (segments * (positions >= input_lengths)).astype("float32"),
        "decoder_segment_ids": segments,
        "decoder_positions": positions * segments,
    }


def prefix_pairs(pairs: Sequence[Pair], inputs_width: int, targets_width: int) -> Batch:
    """Returns features of a prefix language model, with full attention over the inputs."""
    features = causal_pairs(pairs, inputs_width, targets_width)
    segments = features["decoder_segment_ids"]
    input_lengths = np.array([[len(inputs)] for inputs, _ in pairs])
    # The start token precedes the inputs, so they take one more position.
    prefix = segments * (np.arange(segments.shape[1])[None] <= input_lengths)
    return {**features, "decoder_causal_attention": prefix.astype("int32")}


def encoder_pairs(pairs: Sequence[Pair], inputs_width: int, targets_width: int) -> Batch:
    """Returns features of an encoder-decoder, whose encoder reads the inputs."""
    tokens, segments = padded([inputs for inputs, _ in pairs], inputs_width)
    targets: list[Pair] = [([], targets) for _, targets in pairs]
    return {
        "encoder_input_tokens": tokens,
        "encoder_segment_ids": segments,
        "encoder_positions": np.arange(inputs_width, dtype="int32")[None] * segments,
        **causal_pairs(targets, 0, targets_width),
    }


def padded(rows: Prompts, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns tokens and segment ids, int32 [B, width]."""
    tokens = np.zeros((len(rows), width), "int32")
    segments = np.zeros((len(rows), width), "int32")
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
        segments[i, : len(row)] = 1
    return tokens, segments


def bucket(length: int) -> int:
    """Returns the padded width for a length: 16, 32, 64, then multiples of 64.

    There are few widths because a search is compiled for each.

    Example:
        >>> [bucket(length) for length in (3, 16, 17, 64, 65, 130)]
        [16, 16, 32, 64, 128, 192]
    """
    if length > _BUCKET_STEP:
        return -(-length // _BUCKET_STEP) * _BUCKET_STEP
    return max(_SMALLEST_BUCKET, 1 << (length - 1).bit_length())
