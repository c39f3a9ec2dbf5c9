"""SeqIO preprocessors that make a learning problem of plain text (`targets` alone).

Each takes a dataset of examples with `targets` and returns one with `inputs` and `targets` (and
`loss_weights`). They go into a task's preprocessors after `seqio.CacheDatasetPlaceholder`, or into
a pipeline's `preprocessors`. Every pass over the data draws anew, from stateless seeds that
`seqio.map_over_dataset` hands out, so that the position in the data can be saved.
"""

from collections.abc import Mapping

import seqio
import tensorflow as tf

from lm.data import packing
from lm.data.mapping import mapped
from lm.data.masking import mask_tokens, with_separators
from lm.data.packing import Features, Lengths
from lm.data.spans import span_corruption
from lm.parts import part

__all__ = ["autoencoder", "mask_tokens", "prefix", "span_corruption", "with_separators"]
OutputFeatures = Mapping[str, seqio.Feature]


@part
def prefix(
    dataset: tf.data.Dataset, sequence_length: Lengths, output_features: OutputFeatures
) -> tf.data.Dataset:
    """Splits each text at a random position into `inputs` and the `targets` that continue it.

    Longer texts are first cut to the longer of both lengths; then all splits that fit both are
    equally likely. A text of one token is all target.

    Source: Raffel et al. 2020 (https://arxiv.org/abs/1910.10683), section 3.2.3, prefix LM.
    """
    del output_features
    before, after = sequence_length["inputs"], sequence_length["targets"]
    dataset = packing.split(dataset, {"targets": max(before, after)})

    @seqio.map_over_dataset(num_seeds=1)
    def cut(example: Features, seed: tf.Tensor) -> Features:
        text = example["targets"]
        size = tf.size(text)
        lowest, highest = tf.maximum(size - after, 0), tf.minimum(size - 1, before)
        border = tf.random.stateless_uniform([], seed, lowest, highest + 1, tf.int32)
        return {"inputs": text[:border], "targets": text[border:]}

    return cut(dataset.filter(_has_tokens))


def _has_tokens(example: Features) -> tf.Tensor:
    return tf.size(example["targets"]) > 0


@part
def autoencoder(
    dataset: tf.data.Dataset, sequence_length: Lengths, output_features: OutputFeatures
) -> tf.data.Dataset:
    """Makes each text its own `inputs`, to be read before it is written: a sequence autoencoder.

    Longer texts are first split into parts of the length. With
    `features.PrefixLanguageModel` one recurrent network reads the text and then writes it, so that
    encoder and decoder have the same weights.

    Source: Dai, Le 2015 (https://arxiv.org/abs/1511.01432), section 2.
    """
    del output_features
    length = min(sequence_length["inputs"], sequence_length["targets"])
    dataset = packing.split(dataset, {"targets": length})
    return mapped(
        dataset.filter(_has_tokens),
        lambda example: {"inputs": example["targets"], "targets": example["targets"]},
    )
