"""Symbols that mean nothing: integers, letter combinations and made-up words, in two pools.

What a model is tuned on never comes back in an evaluation: the ranks of the pools are disjoint.

Source: Wei et al. 2023 (https://arxiv.org/abs/2305.08298), section 3.1, for the kinds and numbers;
the words, which are lists there, are made by rule here.
"""

import random
from typing import NamedTuple

ONSETS = "bdfghjklmnprstvz"
VOWELS = "aeiou"
# 16 × 5 × 16 × 5 × 16 words; the step has no factor in common with their number.
WORDS = len(ONSETS) ** 3 * len(VOWELS) ** 2
STEP = 40_487


class Pool(NamedTuple):
    """The symbols of a purpose: the integers, and the ranks of letter combinations and words."""

    integers: range
    letters: range
    words: range

    def symbol(self, chance: random.Random) -> str:
        """Draws a symbol: each kind is as likely, each symbol of a kind is."""
        kind = chance.randrange(3)
        rank = chance.choice(self[kind])
        return (str, letters, word)[kind](rank)

    def distinct(self, number: int, chance: random.Random) -> list[str]:
        """Draws different symbols, in the order in which they came."""
        found: dict[str, None] = {}
        while len(found) < number:
            found[self.symbol(chance)] = None
        return list(found)


TUNING = Pool(range(10_000), range(1, 10_001), range(10_000))
EVALUATION = Pool(range(10_000, 100_000), range(10_001, 100_001), range(10_000, 100_000))


def letters(rank: int) -> str:
    """Returns a number from 1 on as A, …, Z, AA, …: s(n) = s((n−1) div 26) + A…Z[(n−1) mod 26].

    Example:
        >>> [letters(rank) for rank in (1, 26, 27, 703, 10_000, 100_000)]
        ['A', 'Z', 'AA', 'AAA', 'NTP', 'EQXD']
    """
    written = ""
    while rank > 0:
        rank, letter = divmod(rank - 1, 26)
        written = chr(ord("A") + letter) + written
    return written


def word(rank: int) -> str:
    """Returns the word of a rank from 0 on; other rank, other word.

    Example:
        >>> word(0), word(1), word(2)
        ('babab', 'lapek', 'vahos')
    """
    number = rank * STEP % WORDS
    written = ""
    for alphabet in (ONSETS, VOWELS, ONSETS, VOWELS, ONSETS):
        number, letter = divmod(number, len(alphabet))
        written += alphabet[letter]
    return written
