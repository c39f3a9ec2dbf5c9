"""Prompts that are too long for a row: the longest field is shortened, not the question.

    inputs   exemplars | before | passage | after        passage: the longest field of the query

The passage loses tokens at its end until the query fits. Then the row is truncated on the left:
exemplars, if there are any, or what no row of that length can hold. Use `measure` before the
exemplars are put in front, and `shorten` after `seqio.CacheDatasetPlaceholder`.
"""

from collections.abc import Mapping

import seqio
import tensorflow as tf

from lm.data.mapping import mapped
from lm.data.rows.packing import Features, Lengths

INPUTS, BEFORE, AFTER, SIZES = "inputs", "before", "after", "query_sizes"

OutputFeatures = Mapping[str, seqio.Feature]


def measure(dataset: tf.data.Dataset, output_features: OutputFeatures) -> tf.data.Dataset:
    """Replaces the texts `before` and `after` the passage by the sizes of the query's three parts.

    Args:
        dataset: examples with the texts `inputs`, `before` and `after`.
        output_features: of the task, for the vocabulary.
    """
    vocabulary = output_features[INPUTS].vocabulary

    def measured(example: Features) -> Features:
        query, before, after = (
            tf.size(vocabulary.encode_tf(example[name])) for name in (INPUTS, BEFORE, AFTER)
        )
        passage = tf.maximum(query - before - after, 0)
        rest = {name: text for name, text in example.items() if name not in (BEFORE, AFTER)}
        return {**rest, SIZES: tf.stack([before, passage, after])}

    return mapped(dataset, measured)


def shorten(
    dataset: tf.data.Dataset, sequence_length: Lengths | None, output_features: OutputFeatures
) -> tf.data.Dataset:
    """Shortens `inputs` to `sequence_length["inputs"]`, with room for the end token.

        kept = clip(length − |before| − |after|, 0, |passage|)

    Args:
        dataset: examples with `inputs` as ids, after `measure`.
        sequence_length: lengths; without one of `inputs` nothing is shortened.
        output_features: of the task, for the end token.
    """
    lengths = sequence_length or {}
    if INPUTS not in lengths:
        return dataset
    length = lengths[INPUTS] - output_features[INPUTS].add_eos

    def shortened(example: Features) -> Features:
        tokens = example[INPUTS]
        before, passage, after = (example[SIZES][part] for part in range(3))
        kept = tf.clip_by_value(length - before - after, 0, passage)
        end = tf.size(tokens) - after
        row = tf.concat([tokens[: end - passage + kept], tokens[end:]], 0)
        return {**example, INPUTS: row[tf.maximum(tf.size(row) - length, 0) :]}

    return mapped(dataset, shortened)
