"""Tokens of a text with their end positions in bytes, to find the tokens of a span of text."""

import functools
from typing import TypeAlias

import seqio
import tensorflow as tf

from lm.data.characters import CharacterVocabulary
from lm.errors import UserError

Tokens: TypeAlias = tuple[tf.Tensor, tf.Tensor]
"""Ids and the ends of tokens in bytes of the text, int32 [n] each."""


@functools.singledispatch
def tokens_with_ends(vocabulary: seqio.Vocabulary, text: tf.Tensor) -> Tokens:
    """Returns the tokens of a text and where each ends.

    Raises:
        UserError: the vocabulary gives no positions of its tokens.

    Example:
        >>> ids, ends = tokens_with_ends(seqio.ByteVocabulary(), tf.constant("a é"))
        >>> ids.numpy().tolist(), ends.numpy().tolist()
        ([100, 35, 198, 172], [1, 2, 3, 4])
    """
    raise UserError(
        f"{type(vocabulary).__name__} does not say where its tokens lie in a text: answers that "
        "are spans need bytes, characters or a SentencePiece model"
    )


@tokens_with_ends.register
def _(vocabulary: seqio.ByteVocabulary, text: tf.Tensor) -> Tokens:
    ids = vocabulary.encode_tf(text)
    return ids, tf.range(1, tf.size(ids) + 1)


@tokens_with_ends.register
def _(vocabulary: CharacterVocabulary, text: tf.Tensor) -> Tokens:
    sizes = tf.strings.length(tf.strings.unicode_split(text, "UTF-8"))
    return vocabulary.encode_tf(text), tf.cumsum(sizes)


@tokens_with_ends.register
def _(vocabulary: seqio.SentencePieceVocabulary, text: tf.Tensor) -> Tokens:
    ids, _, ends = vocabulary.tf_tokenizer.tokenize_with_offsets(text)
    return ids, tf.cast(ends, tf.int32)


def span_of(ends: tf.Tensor, start: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """Returns the first and the last token of the bytes from `start` to before `end`, int32 [2].

    Example:
        >>> span_of(tf.constant([2, 5, 6]), 2, 4).numpy().tolist()
        [1, 1]
    """
    bounds = tf.stack([start + 1, end])  # the tokens that hold these bytes end there or later
    return tf.searchsorted(ends, bounds, side="left")
