"""Masking, BERT's objective: of tokens, whole words or spans of a text.

Whole words of a text are masked until there are at least three masked tokens:

    text          the un mask ed word s are pre dict ed
    starts        x   x  .    .  x    . x   x   .    .
    loss_weights  0   1  1    1  0    0 0   0   0    0
"""

import functools
from collections.abc import Callable, Mapping

import seqio
import tensorflow as tf

from lm.data.preprocessing.text_pairs import FIRST
from lm.data.rows import packing
from lm.data.rows.packing import Features, Lengths
from lm.data.special_tokens import is_text, mask_token, random_tokens, special_tokens
from lm.data.tokenizer_json import TokenizerVocabulary
from lm.errors import UserError
from lm.parts import part
from lm.ranges import PositiveInt

WORD = "\u2581"  # SentencePiece's sign for a space

OutputFeatures = Mapping[str, seqio.Feature]
Starts = Callable[[tf.Tensor, seqio.Vocabulary, tf.Tensor], tf.Tensor]
"""Tokens [T], their vocabulary, a seed -> bool [T], the first token of each unit of masking."""


@part
def tokens(text: tf.Tensor, vocabulary: seqio.Vocabulary, seed: tf.Tensor) -> tf.Tensor:
    """Every token is a unit."""
    del vocabulary, seed
    return tf.ones_like(text, tf.bool)


@part
def whole_words(text: tf.Tensor, vocabulary: seqio.Vocabulary, seed: tf.Tensor) -> tf.Tensor:
    """Every token with leading white space begins a unit.

    Source: Devlin et al., release of 31 May 2019, whole word masking.
    """
    del seed
    return tf.gather(tf.constant(_begins_word(vocabulary)), text)


@part
def spans(
    text: tf.Tensor,
    vocabulary: seqio.Vocabulary,
    seed: tf.Tensor,
    *,
    mean_span_length: float = 3.8,
) -> tf.Tensor:
    """Each token begins a unit with probability 1 / mean, so that lengths are geometric.

    Source: Joshi et al. 2020 (https://arxiv.org/abs/1907.10529), section 3.1, SpanBERT.
    Departures: spans are not limited to 10 tokens and may begin inside words.
    """
    del vocabulary
    return tf.random.stateless_uniform(tf.shape(text), seed) < 1 / mean_span_length


@part
def mask_tokens(  # noqa: PLR0913 - SeqIO's arguments, and the settings of one objective
    dataset: tf.data.Dataset,
    sequence_length: Lengths,
    output_features: OutputFeatures,
    *,
    rate: float = 0.15,
    mask_share: float = 0.8,
    random_share: float = 0.1,
    units: Starts = tokens,
    max_predictions: PositiveInt | None = None,
    num_masks: PositiveInt | None = None,
) -> tf.data.Dataset:
    """BERT's objective: predict chosen tokens, most of them masked.

    Of n tokens max(1, round(rate · n)) are chosen, in random units; the last unit may exceed the
    number. Of the chosen tokens, a share is replaced by the mask token, the vocabulary's last id; a
    share by random tokens; the others are unchanged. Longer texts are first split into parts of
    `sequence_length["inputs"]`. Results: `inputs`, `targets` (the text) and `loss_weights` (1 at
    the chosen positions). Sentinels such as [CLS] and [SEP] are never chosen.

    Args:
        dataset: examples with `targets`.
        sequence_length: length of `inputs`.
        output_features: of the task, for the vocabulary.
        rate: fraction of tokens to predict.
        mask_share: fraction of the chosen tokens replaced by the mask token.
        random_share: fraction of the chosen tokens replaced by a random token.
        units: units of masking: `tokens`, `whole_words` or `spans`.
        max_predictions: maximum number of chosen tokens in a text; None for no limit.
        num_masks: number of different masks of a text, of which every pass takes one: 1 is static
            masking, BERT's release has 10. None makes a new mask in every pass.

    Raises:
        UserError: the vocabulary has no sentinel for the mask, a share is out of range, or there
            are more predictions than tokens.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805), section 3.1; static and dynamic:
    Liu et al. 2019 (https://arxiv.org/abs/1907.11692), section 4.1.
    Departures: the end-of-sequence token may be chosen too.
    """
    vocabulary = output_features["targets"].vocabulary
    mask_id, length = mask_token(vocabulary), sequence_length[FIRST]
    _check(rate, mask_share, random_share, max_predictions, length)
    dataset = packing.split(dataset, {"targets": length})
    maskable, drawn = is_text(vocabulary), list(random_tokens(vocabulary))
    most = length if max_predictions is None else max_predictions

    @seqio.map_over_dataset(num_seeds=4)
    def corrupt(example: Features, seeds: tf.Tensor) -> Features:
        text, seeds = example["targets"], tf.convert_to_tensor(seeds)  # [4, 2]
        seeds = seeds if num_masks is None else _repeated(text, seeds, num_masks)
        shape = tf.shape(text)
        may_hide = tf.gather(tf.constant(maskable), text)
        starts = units(text, vocabulary, seeds[3])
        chosen = _chosen(starts, may_hide, _number(may_hide, rate, most), seeds[0])
        draw = tf.random.stateless_uniform(shape, seeds[1])
        noise = tf.random.stateless_uniform(shape, seeds[2], 0, len(drawn), tf.int32)
        noise = tf.gather(tf.constant(drawn, text.dtype), noise)
        hidden = tf.where(draw < mask_share, tf.cast(mask_id, text.dtype), noise)
        changed = chosen & (draw < mask_share + random_share)
        return {
            "inputs": tf.where(changed, hidden, text),
            "targets": text,
            "loss_weights": tf.cast(chosen, tf.float32),
        }

    return corrupt(dataset.filter(lambda example: tf.size(example["targets"]) > 0))


@part
def with_separators(
    dataset: tf.data.Dataset, sequence_length: Lengths, output_features: OutputFeatures
) -> tf.data.Dataset:
    """Splits texts into rows `[CLS] part [SEP]`, the format of fine-tuning.

    Use it before `mask_tokens`.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805), section 3.
    Departures: no second text, no next sentence prediction.
    """
    found = special_tokens(output_features["targets"].vocabulary)
    capacity = sequence_length[FIRST] - 2
    if capacity < 1:
        raise UserError(
            f"TASK_FEATURE_LENGTHS = {dict(sequence_length)}: inputs hold no [CLS] and [SEP] "
            "around a text; make them longer"
        )
    dataset = packing.split(dataset, {"targets": capacity})

    @seqio.map_over_dataset
    def framed(example: Features) -> Features:
        text = example["targets"]
        ends = [tf.constant([token], text.dtype) for token in (found.cls, found.sep)]
        return {"targets": tf.concat([ends[0], text, ends[1]], 0)}

    return framed(dataset.filter(lambda example: tf.size(example["targets"]) > 0))


def _number(is_text: tf.Tensor, rate: float, most: int) -> tf.Tensor:
    """Returns max(1, round(rate · n)) for n tokens of text, at most `most`."""
    count = tf.reduce_sum(tf.cast(is_text, tf.float32))
    return tf.clip_by_value(tf.cast(tf.round(rate * count), tf.int32), 1, most)


def _chosen(starts: tf.Tensor, is_text: tf.Tensor, number: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns a mask of the tokens of random units, as many as needed for `number` tokens.

    Args:
        starts: where a unit begins, bool [T].
        is_text: which tokens may be chosen, bool [T].
        number: of tokens.
        seed: of the order of the units.
    """
    # A special token is a unit of its own, and the token after it begins a unit.
    apart = ~is_text | tf.concat([[True], ~is_text[:-1]], 0)
    unit = tf.cumsum(tf.cast(starts | apart, tf.int32)) - 1  # [T]
    count = tf.reduce_max(unit) + 1
    sizes = tf.math.unsorted_segment_sum(tf.cast(is_text, tf.int32), unit, count)  # [U]
    order = tf.argsort(tf.random.stateless_uniform([count], seed))
    before = tf.cumsum(tf.gather(sizes, order), exclusive=True)  # tokens of the units before
    taken = tf.scatter_nd(order[:, None], tf.cast(before < number, tf.int32), [count]) > 0
    return tf.gather(taken, unit) & is_text


def _repeated(text: tf.Tensor, seeds: tf.Tensor, num_masks: int) -> tf.Tensor:
    """Returns one of `num_masks` sets of seeds of a text, chosen by the seeds of the pass."""
    written = tf.strings.reduce_join(tf.strings.as_string(text), separator=" ")
    key = tf.strings.to_hash_bucket_fast(written, 2**31 - 1)
    count = tf.shape(seeds, tf.int64)[0]
    mask = tf.cast(seeds[0, 0], tf.int64) % num_masks
    return tf.stack([tf.fill([count], key), mask * count + tf.range(count)], 1)


def _begins_word(vocabulary: seqio.Vocabulary) -> list[bool]:
    """Returns for each id whether its piece has leading white space."""
    if isinstance(vocabulary, TokenizerVocabulary):
        return [vocabulary.begins_word(i) for i in range(vocabulary.vocab_size)]
    piece = vocabulary.decode
    if isinstance(vocabulary, seqio.SentencePieceVocabulary):
        piece = functools.partial(map, vocabulary.tokenizer.IdToPiece)
    found = ("".join(piece([i])) for i in range(vocabulary.vocab_size))
    return [text[:1].isspace() or text[:1] == WORD for text in found]


def _check(
    rate: float, mask_share: float, random_share: float, predictions: int | None, length: int
) -> None:
    """Checks the ranges of the settings.

    Raises:
        UserError: a setting is out of range.
    """
    if not 0 < rate <= 1:
        raise UserError(f"mask_tokens.rate = {rate}: must lie over 0, up to 1")
    if min(mask_share, random_share) < 0 or mask_share + random_share > 1:
        raise UserError(
            f"mask_tokens.mask_share = {mask_share}, random_share = {random_share}: neither may "
            "be below 0, nor their sum over 1"
        )
    if predictions is not None and predictions > length:
        raise UserError(
            f"mask_tokens.max_predictions = {predictions}: inputs have {length} tokens "
            "(TASK_FEATURE_LENGTHS); lower it"
        )
