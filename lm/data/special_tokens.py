"""The tokens of an encoder that stand for no text: the last ids of a vocabulary with sentinels."""

from typing import NamedTuple

import seqio

from lm.errors import UserError

COUNT = 3


class SpecialTokens(NamedTuple):
    """Ids of the tokens that are no text.

    Attributes:
        mask: hides a token.
        cls: the first of a row, where it is classified.
        sep: ends each text of a row.
    """

    mask: int
    cls: int
    sep: int


def special_tokens(vocabulary: seqio.Vocabulary) -> SpecialTokens:
    """Returns the last three ids of a vocabulary, from the last one downwards.

    Raises:
        UserError: if the vocabulary has no three sentinels.

    Example:
        >>> special_tokens(seqio.ByteVocabulary(extra_ids=100))
        SpecialTokens(mask=358, cls=357, sep=356)
    """
    if vocabulary.extra_ids < COUNT:
        raise UserError(
            f"[MASK], [CLS] and [SEP] need a vocabulary with {COUNT} sentinels or more, this one "
            f"has {vocabulary.extra_ids}: give it extra_ids, e.g. VOCABULARY = "
            "@vocabulary.byte_vocabulary() with byte_vocabulary.extra_ids = 100"
        )
    last = vocabulary.vocab_size - 1
    return SpecialTokens(mask=last, cls=last - 1, sep=last - 2)


def require_sentinels(vocabulary: seqio.Vocabulary) -> None:
    """Checks that a vocabulary has ids to spare.

    Raises:
        UserError: if not, saying how to get them.
    """
    if not vocabulary.extra_ids:
        raise UserError(
            "denoising needs a vocabulary with sentinels: give it extra_ids, e.g. "
            "VOCABULARY = @vocabulary.byte_vocabulary() with byte_vocabulary.extra_ids = 100"
        )
