"""Rows of one or two texts for encoders: `[CLS] A [SEP]`, `[CLS] A [SEP] B [SEP]`.

An example has its texts in `inputs` and, if there are two, `second`. Use `tokenize_second` before
`seqio.CacheDatasetPlaceholder` and `join` after it:

    inputs        [CLS] a a a [SEP] b b [SEP]
    token_types     0   0 0 0   0   1 1   1

Rows that are too long lose tokens of the texts, never [CLS] or [SEP]. The function `cut` says how
many tokens of each text to keep, and `keep` at which end.
"""

import inspect
from collections.abc import Callable, Mapping

import numpy as np
import seqio
import tensorflow as tf

from lm.data.mapping import mapped
from lm.data.rows.packing import Features, Lengths
from lm.data.special_tokens import special_tokens
from lm.data.vocabulary import SENTINELS, byte_vocabulary
from lm.errors import UserError
from lm.parts import part

FIRST, SECOND = "inputs", "second"
CLS_TYPE = 2

OutputFeatures = Mapping[str, seqio.Feature]
Sizes = tuple[tf.Tensor, tf.Tensor]
Cut = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Sizes]
Keep = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def row_feature(vocabulary: seqio.Vocabulary | None) -> seqio.Feature:
    """Returns the feature of a row: ids between [CLS] and [SEP]; of bytes by default."""
    return seqio.Feature(vocabulary or byte_vocabulary(extra_ids=SENTINELS), add_eos=False)


def tokenize_second(dataset: tf.data.Dataset, output_features: OutputFeatures) -> tf.data.Dataset:
    """Tokenizes the text `second`, if there is one, with the vocabulary of the inputs."""
    vocabulary = output_features[FIRST].vocabulary

    def tokenized(example: Features) -> Features:
        text = example[SECOND]
        return {**example, f"{SECOND}_pretokenized": text, SECOND: vocabulary.encode_tf(text)}

    return mapped(dataset, tokenized) if SECOND in dataset.element_spec else dataset


@part
def cut_longer(first: tf.Tensor, second: tf.Tensor, capacity: tf.Tensor) -> Sizes:
    """Truncates the longer text, and both once they are equally long.

    Args:
        first: size of the first text.
        second: of the second.
        capacity: tokens for both.

    Returns:
        The number of tokens to keep of each.

    Example:
        >>> [int(size) for size in (*cut_longer(10, 4, 9), *cut_longer(10, 9, 9))]
        [5, 4, 5, 4]

    Source: Devlin et al. 2019, the release: one token after the other is removed from the longer.
    """
    half = capacity // 2
    return (
        tf.minimum(first, tf.maximum(capacity - half, capacity - second)),
        tf.minimum(second, tf.maximum(half, capacity - first)),
    )


@part
def cut_first(first: tf.Tensor, second: tf.Tensor, capacity: tf.Tensor) -> Sizes:
    """Truncates the first text, e.g. a document before its question; arguments as `cut_longer`."""
    kept = tf.minimum(second, capacity)
    return tf.minimum(first, capacity - kept), kept


@part
def cut_second(first: tf.Tensor, second: tf.Tensor, capacity: tf.Tensor) -> Sizes:
    """Truncates the second text, e.g. a document after its question; arguments as `cut_longer`."""
    kept = tf.minimum(first, capacity)
    return kept, tf.minimum(second, capacity - kept)


@part
def cut_first_alone(first: tf.Tensor, second: tf.Tensor, capacity: tf.Tensor) -> Sizes:
    """Truncates the first text to half a row; the second stays whole and is split into windows.

    Arguments as in `cut_longer`.
    """
    return tf.minimum(first, capacity // 2), second


@part
def keep_beginning(tokens: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Keeps the first tokens of a text."""
    return tokens[:size]


@part
def keep_end(tokens: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Keeps the last tokens of a text, e.g. the conclusion of a review."""
    return tokens[tf.size(tokens) - size :]


@part
def join(
    dataset: tf.data.Dataset,
    sequence_length: Lengths,
    output_features: OutputFeatures,
    *,
    cut: Cut = cut_longer,
    keep: Keep = keep_beginning,
) -> tf.data.Dataset:
    """Joins texts to `inputs` and `token_types` of at most `sequence_length["inputs"]`.

    Args:
        dataset: examples with `inputs` and optionally `second`, as ids.
        sequence_length: length of `inputs`.
        output_features: of the task, for the vocabulary.
        cut: which text of a pair to truncate: `cut_longer`, `cut_first` or `cut_second`.
        keep: which part of a truncated text to keep: `keep_beginning` or `keep_end`.

    Raises:
        UserError: the length leaves no token for a text, or the vocabulary has fewer than three
            sentinels for [CLS] and [SEP].

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805), section 4.
    """
    texts = 1 + (SECOND in dataset.element_spec)
    length = sequence_length[FIRST]
    capacity = length - 1 - texts
    if capacity < texts:
        raise UserError(
            f"TASK_FEATURE_LENGTHS = {dict(sequence_length)}: inputs of {length} hold no "
            f"[CLS] and [SEP] with {texts} texts; make them longer"
        )
    tokens = special_tokens(output_features[FIRST].vocabulary)

    def joined(example: Features) -> Features:
        parts = [example[name] for name in (FIRST, SECOND)[:texts]]
        sizes = [tf.size(ids) for ids in parts]
        kept = cut(sizes[0], sizes[1], capacity) if texts > 1 else (tf.minimum(sizes[0], capacity),)
        row, types = [tf.constant([tokens.cls])], [tf.zeros([1], tf.int32)]
        for number, (ids, size) in enumerate(zip(parts, kept, strict=True)):
            row += [keep(ids, size), tf.constant([tokens.sep])]
            types.append(tf.fill([size + 1], number))
        rest = {name: value for name, value in example.items() if not name.startswith(SECOND)}
        made = {FIRST: tf.concat(row, 0), "token_types": tf.concat(types, 0)}
        return {**rest, **_readable(example), **made}

    return mapped(dataset, joined)


@part
def join_typed_cls(
    dataset: tf.data.Dataset,
    sequence_length: Lengths,
    output_features: OutputFeatures,
    *,
    cut: Cut = cut_longer,
    keep: Keep = keep_beginning,
) -> tf.data.Dataset:
    """Makes `[CLS] A [SEP] B [SEP]`, the first of type 2; arguments as in `join`.

    Source: Dai et al. 2020 (https://arxiv.org/abs/2006.03236), its release.
    """

    def typed(example: Features) -> Features:
        types = example["token_types"]
        return {**example, "token_types": tf.concat([[CLS_TYPE], types[1:]], 0)}

    return mapped(join(dataset, sequence_length, output_features, cut=cut, keep=keep), typed)


def is_join(step: Callable[..., tf.data.Dataset]) -> bool:
    """Returns whether a preprocessor joins texts, with any settings."""
    return inspect.unwrap(getattr(step, "func", step)) in (join, join_cls_last, join_typed_cls)


def joined_sizes(*texts: np.ndarray) -> np.ndarray:
    """Returns the length of each row without truncation, including [CLS] and [SEP].

    Args:
        texts: sizes of the first text of every example, and of the second if there is one.
    """
    return np.sum(texts, axis=0) + 1 + len(texts)


def _readable(example: Features) -> Features:
    """Returns the texts of a pair, separated by a tab."""
    names = [f"{name}_pretokenized" for name in (FIRST, SECOND)]
    if not all(name in example for name in names):
        return {}
    return {names[0]: tf.strings.join([example[name] for name in names], "\t")}


@part
def join_cls_last(
    dataset: tf.data.Dataset,
    sequence_length: Lengths,
    output_features: OutputFeatures,
    *,
    cut: Cut = cut_longer,
    keep: Keep = keep_beginning,
) -> tf.data.Dataset:
    """Makes `A [SEP] B [SEP] [CLS]`, the last of type 2; arguments as in `join`.

    Source: Yang et al. 2019 (https://arxiv.org/abs/1906.08237), section 2.5.
    """

    def rolled(example: Features) -> Features:
        ids, types = (tf.roll(example[name], -1, 0) for name in (FIRST, "token_types"))
        return {**example, FIRST: ids, "token_types": tf.concat([types[:-1], [CLS_TYPE]], 0)}

    return mapped(join(dataset, sequence_length, output_features, cut=cut, keep=keep), rolled)
