"""The special tokens of a vocabulary and the ids of ordinary text.

[MASK], [CLS] and [SEP] are the last ids of a vocabulary with sentinels, or those that a
`tokenizer.json` names. Special tokens are never masked nor drawn to replace a masked token.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import seqio

from lm.data.tokenizer_json import TokenizerVocabulary
from lm.errors import UserError

COUNT = 3


class SpecialTokens(NamedTuple):
    """Ids of an encoder's special tokens.

    Attributes:
        mask: replaces a masked token.
        cls: the first token of a row, whose vector is classified.
        sep: the last token of each text in a row.
    """

    mask: int
    cls: int
    sep: int


@functools.singledispatch
def special_tokens(vocabulary: seqio.Vocabulary) -> SpecialTokens:
    """Returns the last three ids of a vocabulary, from the last one downwards.

    Raises:
        UserError: the vocabulary has fewer than three sentinels.

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


@special_tokens.register
def _(vocabulary: TokenizerVocabulary) -> SpecialTokens:
    roles = vocabulary.roles
    if missing := [role for role in SpecialTokens._fields if role not in roles]:
        raise UserError(
            f"{vocabulary.folder}: tokenizer_config.json names no {missing[0]}_token, which an "
            "encoder needs"
        )
    return SpecialTokens(**{role: roles[role] for role in SpecialTokens._fields})


@functools.singledispatch
def mask_token(vocabulary: seqio.Vocabulary) -> int:
    """Returns the id of [MASK]: the last sentinel.

    Raises:
        UserError: the vocabulary has no sentinel.
    """
    require_sentinels(vocabulary)
    return vocabulary.vocab_size - 1


@mask_token.register
def _(vocabulary: TokenizerVocabulary) -> int:
    return special_tokens(vocabulary).mask


@functools.singledispatch
def is_text(vocabulary: seqio.Vocabulary) -> Sequence[bool]:
    """Returns for each id whether it may be masked: all but the sentinels."""
    sentinels = vocabulary.extra_ids
    return [True] * (vocabulary.vocab_size - sentinels) + [False] * sentinels


@is_text.register
def _(vocabulary: TokenizerVocabulary) -> Sequence[bool]:
    special = vocabulary.special_ids()
    return [i not in special for i in range(vocabulary.vocab_size)]


@functools.singledispatch
def random_tokens(vocabulary: seqio.Vocabulary) -> Sequence[int]:
    """Returns the ids that may replace a masked token: those of text, after the unknown id."""
    return range(vocabulary.unk_id + 1, vocabulary.vocab_size - vocabulary.extra_ids)


@random_tokens.register
def _(vocabulary: TokenizerVocabulary) -> Sequence[int]:
    return [i for i, text in enumerate(is_text(vocabulary)) if text]


def require_sentinels(vocabulary: seqio.Vocabulary, count: int = 1) -> None:
    """Checks that a vocabulary has as many sentinels as one text needs.

    Raises:
        UserError: it has fewer; says how to get them.
    """
    if not vocabulary.extra_ids:
        raise UserError(
            "denoising needs a vocabulary with sentinels: give it extra_ids, e.g. "
            "VOCABULARY = @vocabulary.byte_vocabulary() with byte_vocabulary.extra_ids = 100"
        )
    if vocabulary.extra_ids < count:
        raise UserError(
            f"these inputs hold {count} spans, and the vocabulary has {vocabulary.extra_ids} "
            "sentinels to replace them: give it more extra_ids, or shorten the inputs in "
            "TASK_FEATURE_LENGTHS"
        )
