"""Inputs that keep their end when they are too long: conversations, whose last turn is answered."""

from collections.abc import Mapping

import seqio
import tensorflow as tf

from lm.data.mapping import mapped

INPUTS = "inputs"

Features = Mapping[str, tf.Tensor]


def append_eos_after_left_trim(
    dataset: tf.data.Dataset,
    output_features: Mapping[str, seqio.Feature],
    sequence_length: Mapping[str, int] | None,
) -> tf.data.Dataset:
    """Like SeqIO's `append_eos_after_trim`, but of `inputs` the last tokens are kept.

    Args:
        dataset: tokenized examples.
        output_features: of the task.
        sequence_length: the features to truncate, and the length of each with its end token.
    """
    lengths = sequence_length or {}
    if INPUTS in lengths:
        most = lengths[INPUTS] - int(output_features[INPUTS].add_eos)

        def trimmed(example: Features) -> Features:
            inputs = example[INPUTS]
            return {**example, INPUTS: inputs[tf.maximum(tf.size(inputs) - most, 0) :]}

        dataset = mapped(dataset, trimmed)
    return seqio.preprocessors.append_eos_after_trim(dataset, output_features, lengths)
