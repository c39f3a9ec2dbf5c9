"""SeqIO preprocessors for self-supervised training on plain text, such as span corruption.

Each takes a dataset of examples with `targets` and returns one with `inputs` and `targets`. Use
them in a task's preprocessors after `seqio.CacheDatasetPlaceholder`, or in a pipeline's
`preprocessors`; likewise masking (`lm.data.preprocessing.masking`). Every pass over the data makes
new random choices, from the stateless seeds of `seqio.map_over_dataset`, so that the position in
the data can be saved.

Span corruption is T5's objective: sentinels replace spans, and the targets contain the spans. A
text of nine tokens with noise at the third, fourth and eighth; Z, Y are the vocabulary's last two
ids:

    text     a b c d e f g h i        inputs   a b Z e f g Y i
    noise    . . x x . . . x .        targets  Z c d Y h
"""

import itertools
from collections.abc import Mapping

import seqio
import tensorflow as tf

from lm.data.mapping import mapped
from lm.data.rows import packing
from lm.data.rows.packing import Features, Lengths
from lm.data.special_tokens import require_sentinels
from lm.errors import UserError
from lm.parts import part

OutputFeatures = Mapping[str, seqio.Feature]

_JOINED = 128


@part
def span_corruption(
    dataset: tf.data.Dataset,
    sequence_length: Mapping[str, int],
    output_features: Mapping[str, seqio.Feature],
    *,
    noise_density: float = 0.15,
    mean_span_length: float = 3.0,
) -> tf.data.Dataset:
    """Corrupts spans of texts, as in T5.

    Texts are concatenated, 128 at a time, and split into parts that fill
    `sequence_length["inputs"]` exactly. Inputs and targets end with EOS; the last id of the
    vocabulary is the first sentinel.

    Args:
        dataset: examples with `targets`.
        sequence_length: lengths of `inputs` and `targets`; that of the targets must be at least
            the one given by `text_length` (114 for inputs of 512).
        output_features: of the task, for the vocabulary.
        noise_density: fraction of tokens to predict; the paper's is 0.15.
        mean_span_length: mean number of tokens of a span; the paper's is 3.

    Raises:
        UserError: the targets' length is too small, or the vocabulary has too few sentinels.

    Source: Raffel et al. 2020 (https://arxiv.org/abs/1910.10683), section 3.1.4 and 3.3.4.
    Departures: a text of more than 65,536 tokens is used completely, not one chunk per epoch.
    """
    vocabulary = output_features["targets"].vocabulary
    length, needed = text_length(sequence_length["inputs"], noise_density, mean_span_length)
    require_sentinels(vocabulary, noise_sizes(length, noise_density, mean_span_length)[1])
    if sequence_length["targets"] < needed:
        raise UserError(
            f"TASK_FEATURE_LENGTHS = {dict(sequence_length)}: span corruption of these inputs "
            f"needs targets of {needed}"
        )
    last = vocabulary.vocab_size - 1

    @seqio.map_over_dataset(num_seeds=2)
    def corrupt(example: Features, seeds: tf.Tensor) -> Features:
        text = example["targets"]
        noise = noise_mask(tf.size(text), noise_density, mean_span_length, seeds)
        eos = tf.constant([vocabulary.eos_id], text.dtype)
        return {
            "inputs": tf.concat([collapse(text, noise, last), eos], 0),
            "targets": tf.concat([collapse(text, ~noise, last), eos], 0),
        }

    return corrupt(_joined(dataset, length))


def text_length(inputs: int, noise_density: float, mean_span_length: float) -> tuple[int, int]:
    """Returns the length of text that fills inputs of a length, and the length of its targets.

    A text of L tokens with n noise tokens in s spans, see `noise_sizes`, has L − n + s + 1 inputs
    and n + s + 1 targets, including EOS. At a density of one half, inputs and targets have equal
    length.

    Example:
        >>> text_length(512, 0.15, 3.0)
        (568, 114)
    """

    def sizes(length: int) -> tuple[int, int]:
        noise, spans = noise_sizes(length, noise_density, mean_span_length)
        return length - noise + spans + 1, noise + spans + 1

    fits = itertools.takewhile(lambda n: sizes(n)[0] <= inputs, itertools.count(inputs - 1))
    length = max(fits, default=inputs - 1)
    targets = sizes(length)[1]
    if noise_density == 0.5 and targets > inputs:  # noqa: PLR2004 - the paper's special case
        return length - 1, targets - 1
    return length, targets


def noise_sizes(length: int, noise_density: float, mean_span_length: float) -> tuple[int, int]:
    """Returns the numbers of noise tokens and of spans in a text of at least two tokens.

    They are n = round(L · density) and s = round(n / mean), but at least 1 each, and at most so
    many that another token stands before every span.

    Example:
        >>> noise_sizes(568, 0.15, 3.0), noise_sizes(3, 0.15, 3.0)
        ((85, 28), (1, 1))
    """
    noise = min(max(round(length * noise_density), 1), length - 1)
    return noise, min(max(round(noise / mean_span_length), 1), noise, length - noise)


def noise_mask(
    size: tf.Tensor, noise_density: float, mean_span_length: float, seeds: tf.Tensor
) -> tf.Tensor:
    """Returns which tokens are noise, bool [size]: spans of noise after spans of other tokens.

    Their numbers are those of `noise_sizes`, in float64 as there; all partitions of both kinds of
    tokens into that many non-empty spans are equally likely.
    """
    total = tf.maximum(size, 2)
    noise = tf.cast(tf.round(tf.cast(total, tf.float64) * noise_density), tf.int32)
    noise = tf.clip_by_value(noise, 1, total - 1)
    spans = tf.cast(tf.round(tf.cast(noise, tf.float64) / mean_span_length), tf.int32)
    spans = tf.clip_by_value(spans, 1, tf.minimum(noise, total - noise))
    kept = _partition(total - noise, spans, seeds[0])
    hidden = _partition(noise, spans, seeds[1])
    lengths = tf.reshape(tf.stack([kept, hidden], 1), [-1])
    return tf.repeat(tf.tile([False, True], [spans]), lengths)[:size]


def collapse(tokens: tf.Tensor, hidden: tf.Tensor, last: int) -> tf.Tensor:
    """Replaces each run of hidden tokens by one sentinel.

    The first sentinel is `last`, the next `last − 1`, and so on.

    Example:
        >>> collapse(tf.constant([3, 4, 5, 6]), tf.constant([True, True, False, True]), 99).numpy()
        array([99,  5, 98], dtype=int32)
    """
    starts = hidden & ~tf.concat([[False], hidden[:-1]], 0)
    sentinels = last + 1 - tf.cumsum(tf.cast(starts, tokens.dtype))
    return tf.boolean_mask(tf.where(starts, sentinels, tokens), ~hidden | starts)


def _joined(dataset: tf.data.Dataset, length: int) -> tf.data.Dataset:
    """Returns parts of the concatenated texts, all of this length except the last of each group."""

    def parts_of(batch: Mapping[str, tf.RaggedTensor]) -> Mapping[str, tf.RaggedTensor]:
        tokens = batch["targets"].flat_values
        whole = tf.RaggedTensor.from_row_lengths(tokens, [tf.size(tokens)])
        return packing.cut({"targets": whole}, {"targets": length})

    joined = packing.ragged_batches(dataset, ("targets",), _JOINED)
    cut = mapped(joined, parts_of).unbatch()
    return cut.filter(_has_targets)


def _partition(items: tf.Tensor, parts: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns sizes of `parts` random non-empty parts of a row of items: int32 [parts]."""
    order = tf.argsort(tf.random.stateless_uniform([items - 1], seed))
    borders = tf.sort(order[: parts - 1]) + 1  # distinct borders between two items
    ends = tf.concat([borders, [items]], 0)
    return ends - tf.concat([[0], borders], 0)


@part
def prefix(
    dataset: tf.data.Dataset, sequence_length: Lengths, output_features: OutputFeatures
) -> tf.data.Dataset:
    """Splits each text at a random position into `inputs` and the `targets` that continue it.

    Texts are first split into parts of the larger of both lengths; then all borders that fit both
    are equally likely. A text of one token becomes the target.

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

    return cut(dataset.filter(_has_targets))


@part
def autoencoder(
    dataset: tf.data.Dataset, sequence_length: Lengths, output_features: OutputFeatures
) -> tf.data.Dataset:
    """Copies each text's targets to `inputs`, for a sequence autoencoder.

    Longer texts are first split into parts of the length. With `features.PrefixLanguageModel` one
    recurrent network reads the text and then writes it: encoder and decoder share their weights.

    Source: Dai, Le 2015 (https://arxiv.org/abs/1511.01432), section 2.
    """
    del output_features
    length = min(sequence_length["inputs"], sequence_length["targets"])
    dataset = packing.split(dataset, {"targets": length})
    return mapped(
        dataset.filter(_has_targets),
        lambda example: {"inputs": example["targets"], "targets": example["targets"]},
    )


def _has_targets(example: Features) -> tf.Tensor:
    return tf.size(example["targets"]) > 0
