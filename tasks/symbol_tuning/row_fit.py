"""Prompts that fit their row: exemplars are dropped by tokens, the same number for every class."""

from collections.abc import Mapping

import seqio
import tensorflow as tf

from lm.data.mapping import mapped

ROW = 2048  # the paper's length of the inputs, if none is given

Features = Mapping[str, tf.Tensor]


def fitted(
    dataset: tf.data.Dataset,
    sequence_length: Mapping[str, int] | None,
    output_features: Mapping[str, seqio.Feature],
) -> tf.data.Dataset:
    """Joins the parts of prompts to `inputs`, with as many turns of exemplars as the row holds.

    A query is never dropped; only one that is longer than the row itself is truncated later.

    Args:
        dataset: examples with the parts of a `prompts.Prompt`; returned unchanged without.
        sequence_length: the length of the row of `inputs`, 2,048 by default.
        output_features: of the task, for the vocabulary and the end token.
    """
    feature = output_features["inputs"]
    most = (sequence_length or {}).get("inputs", ROW) - int(feature.add_eos)

    def joined(example: Features) -> Features:
        parts = dict(example)
        head, exemplars, each, query = map(parts.pop, ("head", "exemplars", "turns", "query"))

        def text(turns: tf.Tensor) -> tf.Tensor:
            kept = tf.strings.reduce_join(tf.boolean_mask(exemplars, each < turns))
            return tf.strings.join([head, kept, query])

        def is_too_long(turns: tf.Tensor) -> tf.Tensor:
            return (turns > 0) & (tf.size(feature.vocabulary.encode_tf(text(turns))) > most)

        (turns,) = tf.while_loop(is_too_long, lambda turns: [turns - 1], [tf.reduce_max(each) + 1])
        return {**parts, "inputs": text(turns)}

    return mapped(dataset, joined) if "exemplars" in dataset.element_spec else dataset
