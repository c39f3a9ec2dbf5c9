"""XLNet's rows: which tokens are predicted, and in which order of factorization.

A row has two parts: tokens for the memory of the next row, then new text in two pieces:

    tokens      a b c d e f | g h i [SEP] j k [SEP] [CLS]
    types       0 0 0 0 0 0 | 0 0 0   0   1 1   1     2
    predicted   . . x x . . | . x .   .   . x   .     .
    ranks       - - 1 4 - - | 6 9 6  10   6 7  13    11

A token attends to tokens of its rank or lower, and is predicted from tokens of lower rank. Tokens
that are neither predicted nor special have the rank -1 in the first part and R, its length, in the
second: so the first part does not attend to the second, and the second attends to all of the first.
"""

import functools
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from lm.data.rows.packing import Features
from lm.data.special_tokens import special_tokens
from lm.data.tokenizer_json import TokenizerVocabulary
from lm.errors import UserError
from lm.parts import part
from lm.ranges import PositiveInt

SPECIAL = 3  # [SEP], [SEP] and [CLS]


@part
class PermutedRow:
    """Makes the features of a row from its tokens and a seed.

    Predicts spans of 1 to `max_span` tokens: of length n with probability ∝ 1/n, each with
    `context` · n tokens around it that are not predicted; a span starts with a word. Random single
    tokens make up the number at the end. [SEP] and [CLS] are those of `special_tokens`.

    Args:
        length: T.
        vocabulary: of the tokens.
        reuse_length: R, tokens of the first part (256 of 512).
        permutation_length: length of the segments within which the order is random (256); all
            segments have the same random order, and follow each other.
        num_predict: P, predicted tokens of a full row (85); None is a sixth of the row, the paper's
            K = 6.
        max_span: longest span (5).
        context: tokens around a span, per token of the span (6).

    Raises:
        UserError: a number does not fit the row, or the vocabulary has no sentinels.

    Source: Yang et al. 2019 (https://arxiv.org/abs/1906.08237), sections 2.3 and 3.1, and its
    release, `data_utils.py`.
    Departures: spans have n word pieces, as in the release, which meant n words. Spans contain no
    special tokens; the release may choose some and not use them.
    """

    def __init__(
        self,
        *,
        length: PositiveInt,
        vocabulary: seqio.Vocabulary,
        reuse_length: PositiveInt,
        permutation_length: PositiveInt,
        num_predict: PositiveInt | None = None,
        max_span: PositiveInt = 5,
        context: PositiveInt = 6,
    ) -> None:
        self.length = length
        self.reuse_length = reuse_length
        self.permutation_length = permutation_length
        self.num_predict = length // 6 if num_predict is None else num_predict
        self.max_span = max_span
        self.context = context
        self.special = special_tokens(vocabulary)
        self.check()
        self.word_starts = word_starts(vocabulary)

    @property
    def new_length(self) -> int:
        """The maximum number of tokens of new text in a row."""
        return self.length - self.reuse_length - SPECIAL

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that determines a row besides its tokens, the vocabulary and the seed."""
        names = ("reuse_length", "permutation_length", "num_predict", "max_span", "context")
        return {name: getattr(self, name) for name in names}

    def check(self) -> None:
        """Raises UserError if a number does not fit the row."""
        row = f"rows of TASK_FEATURE_LENGTHS = {{'targets': {self.length}}}"
        if self.new_length < 2:  # noqa: PLR2004 - two pieces
            raise UserError(
                f"PermutedRow.reuse_length = {self.reuse_length} leaves too little of {row}: two "
                f"pieces of new text and {SPECIAL} special tokens must follow"
            )
        parts = (self.reuse_length, self.length - self.reuse_length)
        if any(size % self.permutation_length for size in parts):
            raise UserError(
                f"PermutedRow.permutation_length = {self.permutation_length} does not divide the "
                f"two parts of {row}, {parts[0]} and {parts[1]} tokens"
            )
        tokens = self.length - SPECIAL
        if not 0 < self.num_predict <= tokens:
            raise UserError(
                f"PermutedRow.num_predict = {self.num_predict}, but {row} have 1 to {tokens} "
                "tokens to predict"
            )

    def __call__(
        self, reused: tf.Tensor, first: tf.Tensor, second: tf.Tensor, key: tf.Tensor
    ) -> Features:
        """Returns the features of a row.

        Args:
            reused: int32, at most R tokens; exactly R where new text follows.
            first: int32, the first piece of new text, or empty.
            second: int32, the second piece; left out with the first.
            key: integers [2], the seed.
        """
        seeds = tf.random.split(key, 2)
        new, types, is_text = self.new_part(first, second)
        most = self.num_predict // 2
        old_ranks, old = self.part(
            reused, tf.ones_like(reused, tf.bool), self.num_predict - most, seeds[0]
        )
        new_ranks, chosen = self.part(new, is_text, most, seeds[1])
        # Ranks of the second part lie above those of the first: from R on.
        ranks = tf.concat([old_ranks, new_ranks + self.reuse_length + 1], 0)
        tokens = tf.concat([reused, new], 0)
        index = tf.range(tf.size(tokens))
        row = {
            "encoder_input_tokens": tokens,
            "encoder_segment_ids": tf.ones_like(tokens),
            "encoder_positions": index,
            "encoder_token_types": tf.concat([tf.zeros_like(reused), types], 0),
            "encoder_ranks": ranks,
            "encoder_remembered": tf.cast(index < self.reuse_length, tf.int32),
        }
        predicted = tf.boolean_mask(index, tf.concat([old, chosen], 0))
        of_predicted = {
            "encoder_predicted_positions": predicted,
            "encoder_target_tokens": tf.gather(tokens, predicted),
            "encoder_loss_weights": tf.ones_like(predicted, tf.float32),
        }
        return padded(row, self.length) | padded(of_predicted, self.num_predict)

    def new_part(
        self, first: tf.Tensor, second: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns tokens, types and the mask of text of the second part; empty without text."""
        sep, cls = [self.special.sep], [self.special.cls]
        tokens = tf.concat([first, sep, second, sep, cls], 0)
        ones, more = tf.ones_like(first), tf.ones_like(second)
        types = tf.concat([0 * ones, [0], more, [1, 2]], 0)
        is_text = tf.concat([ones, [0], more, [0, 0]], 0) > 0
        count = tf.where(tf.size(first) > 0, tf.size(tokens), 0)
        return tokens[:count], types[:count], is_text[:count]

    def part(
        self, tokens: tf.Tensor, is_text: tf.Tensor, most: int, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the ranks of a part of the row and which of its tokens are predicted.

        Args:
            tokens: int32 [N].
            is_text: bool [N], False for special tokens.
            most: predicted tokens of a full part; a shorter part has the same share.
            seed: integers [2].
        """
        seeds = tf.random.split(seed, 4)
        texts = tf.reduce_sum(tf.cast(is_text, tf.int32))
        goal = tf.minimum(most, -(-texts * self.num_predict // self.length))
        starts = tf.gather(self.word_starts, tokens)
        chosen = self.spans(starts, goal, most, seeds[:2]) & is_text
        chosen = filled_up(chosen, is_text, goal, seeds[2])
        return order(chosen | ~is_text, self.permutation_length, seeds[3]), chosen

    def spans(self, starts: tf.Tensor, goal: tf.Tensor, most: int, seeds: tf.Tensor) -> tf.Tensor:
        """Returns which tokens are in spans, bool [N]: `goal` of them, or fewer near the end.

        Args:
            starts: bool [N], where words begin.
            goal: int32 scalar, at most `most`.
            most: spans to draw.
            seeds: integers [2, 2].
        """
        size = tf.size(starts)
        firsts = tf.concat([tf.cast(tf.where(starts)[:, 0], tf.int32), [size]], 0)
        share = -tf.math.log(tf.range(1, self.max_span + 1, dtype=tf.float32))[None]
        drawn = 1 + tf.random.stateless_categorical(share, most, seeds[0], tf.int32)[0]
        left = tf.random.stateless_uniform([most], seeds[1])  # share of the context on the left

        def next_span(state: Any, draw: Any) -> Any:
            end, _, _, found = state
            length = tf.minimum(draw[0], goal - found)
            around = length * self.context
            before = tf.cast(draw[1] * tf.cast(around, tf.float32), tf.int32)
            at_least = tf.minimum(end + before, size)
            first = firsts[tf.searchsorted(firsts, at_least[None])[0]]
            fits = (first + length < size) & (length > 0)
            length = tf.where(fits, length, 0)
            end = tf.where(fits, first + length + around - before, size)
            return end, first, length, found + length

        zero = tf.constant(0)
        plain = tf.autograph.experimental.do_not_convert(next_span)
        _, first, length, _ = tf.scan(plain, (drawn, left), (zero, zero, zero, zero))
        index = tf.range(size)[:, None]
        return tf.reduce_any((first <= index) & (index < first + length), 1)


def filled_up(chosen: tf.Tensor, is_text: tf.Tensor, goal: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Adds random tokens of the text to the chosen ones, up to `goal`: bool [N]."""
    draw = tf.random.stateless_uniform(tf.shape(chosen), seed)
    draw = tf.where(is_text, draw, 2.0)  # last
    draw = tf.where(chosen, -1.0, draw)  # first
    return tf.argsort(tf.argsort(draw)) < goal


def order(is_ranked: tf.Tensor, permutation_length: int, seed: tf.Tensor) -> tf.Tensor:
    """Returns the rank of each token in a random order, int32 [N], -1 for those without one."""
    index = tf.range(tf.size(is_ranked))
    draw = tf.random.stateless_uniform([permutation_length], seed)
    inside = tf.gather(tf.argsort(draw), index % permutation_length)
    ranks = index - index % permutation_length + inside
    return tf.where(is_ranked, ranks, -1)


def padded(values: Features, length: int) -> Features:
    """Returns vectors padded with zeros, [length] each."""
    return {
        name: tf.ensure_shape(tf.pad(x, [[0, length - tf.size(x)]]), [length])
        for name, x in values.items()
    }


@functools.singledispatch
def word_starts(vocabulary: seqio.Vocabulary) -> np.ndarray:
    """Returns which ids begin a word, bool [V]: those that begin with a space.

    >>> from lm.data.vocabulary import byte_vocabulary
    >>> np.flatnonzero(word_starts(byte_vocabulary())) - 3 == ord(" ")
    array([ True])
    """
    return np.array([vocabulary.decode([i])[:1] == " " for i in range(vocabulary.vocab_size)])


@word_starts.register
def _(vocabulary: seqio.SentencePieceVocabulary) -> np.ndarray:
    pieces = map(vocabulary.tokenizer.id_to_piece, range(vocabulary.vocab_size))
    return np.array([piece.startswith("\u2581") for piece in pieces])


@word_starts.register
def _(vocabulary: TokenizerVocabulary) -> np.ndarray:
    return np.array([vocabulary.begins_word(i) for i in range(vocabulary.vocab_size)])
