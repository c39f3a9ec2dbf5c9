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
from lm.data.packing import Features, Lengths
from lm.data.spans import require_sentinels, span_corruption
from lm.parts import part

__all__ = ["mask_tokens", "prefix", "span_corruption"]
OutputFeatures = Mapping[str, seqio.Feature]


@part
def mask_tokens(
    dataset: tf.data.Dataset,
    sequence_length: Lengths,
    output_features: OutputFeatures,
    *,
    rate: float = 0.15,
    mask_share: float = 0.8,
    random_share: float = 0.1,
) -> tf.data.Dataset:
    """BERT's objective: predict the tokens that were chosen, most of them hidden.

    Of n tokens max(1, round(rate · n)) are chosen. Of these a share is replaced by the mask
    token, the vocabulary's last id; a share by a random token; the others stay. Longer texts are
    first cut to `sequence_length["inputs"]`. Results: `inputs`, `targets` (the text) and
    `loss_weights` (1 at the chosen positions).

    Args:
        dataset: examples with `targets`.
        sequence_length: length of `inputs`.
        output_features: of the task, for the vocabulary.
        rate: share of tokens to predict.
        mask_share: share of the chosen that becomes the mask token.
        random_share: share of the chosen that becomes a random token.

    Raises:
        UserError: if the vocabulary has no sentinel to serve as the mask.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805), section 3.1.
    Departures: the end-of-sequence token may be chosen too.
    """
    vocabulary = output_features["targets"].vocabulary
    require_sentinels(vocabulary)
    dataset = packing.split(dataset, {"targets": sequence_length["inputs"]})
    mask_id = vocabulary.vocab_size - 1
    lowest, highest = vocabulary.unk_id + 1, vocabulary.vocab_size - vocabulary.extra_ids

    @seqio.map_over_dataset(num_seeds=3)
    def corrupt(example: Features, seeds: tf.Tensor) -> Features:
        targets = example["targets"]
        shape = tf.shape(targets)
        chosen = _chosen(shape[0], rate, seeds[0])
        draw = tf.random.stateless_uniform(shape, seeds[1])
        noise = tf.random.stateless_uniform(shape, seeds[2], lowest, highest, targets.dtype)
        hidden = tf.where(draw < mask_share, tf.cast(mask_id, targets.dtype), noise)
        changed = chosen & (draw < mask_share + random_share)
        return {
            "inputs": tf.where(changed, hidden, targets),
            "targets": targets,
            "loss_weights": tf.cast(chosen, tf.float32),
        }

    return corrupt(dataset.filter(_has_tokens))


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


def _chosen(size: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Returns a mask of max(1, round(rate · size)) tokens of `size`, all sets equally likely."""
    number = tf.maximum(1, tf.cast(tf.round(rate * tf.cast(size, tf.float32)), tf.int32))
    ranks = tf.argsort(tf.argsort(tf.random.stateless_uniform([size], seed)))
    return ranks < number


def _has_tokens(example: Features) -> tf.Tensor:
    return tf.size(example["targets"]) > 0
