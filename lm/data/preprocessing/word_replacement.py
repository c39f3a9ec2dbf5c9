"""UDA's text augmentation without a model: uninformative words are replaced by others."""

import collections
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lm.errors import UserError
from lm.parts import part
from lm.ranges import Seed, UnitFloat

Texts = Callable[[], Iterable[str]]

_WORD = re.compile(r"\w+")


@part
class WordReplacement:
    """Replaces words of low TF-IDF by words that are uninformative in the whole corpus.

    With `TF(w) = count of w in the text / its words`, `IDF(w) = ln(texts / texts with w)` and
    `C = max over the text's words of TF·IDF`, a word w of a text is replaced with probability

        min(p · (C - TF(w)·IDF(w)) / Z, 1),  Z = mean over its words of C - TF·IDF

    by a word v drawn in proportion to `max S - S(v)`, `S(v) = frequency of v · IDF(v)`. Text
    between words is unchanged. A text has the same copy in every run.

    Args:
        rate: p, the expected fraction of replaced words (paper: 0.7 to 0.9).
        seed: another seed gives other copies.

    Example:
        >>> texts = ["a good film , a film", "a bad film", "a dull evening"]
        >>> list(WordReplacement(rate=0.4)(lambda: texts))[1:]
        ['a bad film', 'a dull evening']

    Source: Xie et al. 2020 (https://arxiv.org/abs/1904.12848), appendix C.
    """

    def __init__(self, *, rate: UnitFloat = 0.7, seed: Seed = 0):
        self.rate = rate
        self.seed = seed

    def __call__(self, texts: Texts) -> Iterator[str]:
        """Yields a copy of each text; the texts are read twice.

        Raises:
            UserError: no text contains a word.
        """
        corpus = counted(texts())
        for text in texts():
            yield self.replaced(text, corpus)

    def replaced(self, text: str, corpus: "Corpus") -> str:
        """Returns the copy of a text."""
        words = _WORD.findall(text)
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
        draw = np.random.default_rng([self.seed, int.from_bytes(digest[:8], "big")])
        chances = probabilities(words, corpus.idf, self.rate)
        is_replaced = draw.random(len(words)) < chances
        others = iter(corpus.drawn(draw.random(len(words))))
        marks = iter(is_replaced.tolist())

        def replaced(word: re.Match[str]) -> str:
            other = next(others)
            return other if next(marks) else word[0]

        return _WORD.sub(replaced, text)


class Corpus(NamedTuple):
    """Word statistics of a corpus.

    Attributes:
        idf: ln(texts / texts with the word), by word.
        words: all words, in alphabetical order.
        cumulative: float64 [words], cumulative probabilities of the words as replacements.
    """

    idf: dict[str, float]
    words: Sequence[str]
    cumulative: np.ndarray

    def drawn(self, u: np.ndarray) -> list[str]:
        """Returns a word for each number, drawn from U(0, 1)."""
        index = np.searchsorted(self.cumulative, u * self.cumulative[-1], side="right")
        return [self.words[i] for i in np.minimum(index, len(self.words) - 1)]


def counted(texts: Iterable[str]) -> Corpus:
    """Returns the word statistics of texts.

    Raises:
        UserError: no text contains a word.
    """
    counts: collections.Counter[str] = collections.Counter()
    holding: collections.Counter[str] = collections.Counter()
    number = 0
    for text in texts:
        number += 1
        found = _WORD.findall(text)
        counts.update(found)
        holding.update(set(found))
    if not counts:
        raise UserError("there is no word in the texts that are to be augmented")
    idf = {word: math.log(number / count) for word, count in holding.items()}
    words = sorted(counts)
    total = counts.total()
    scores = np.array([counts[word] / total * idf[word] for word in words])
    weights = scores.max() - scores
    # If all words are equally informative, they are drawn uniformly.
    weights = weights if weights.any() else np.ones_like(weights)
    return Corpus(idf, words, np.cumsum(weights))


def probabilities(words: Sequence[str], idf: dict[str, float], rate: float) -> np.ndarray:
    """Returns the replacement probability of each word of a text, [words].

    If all words have the same TF-IDF, each is replaced with probability `rate`.

    Example:
        >>> idf = {"the": 0.0, "film": 1.0, "dull": 3.0}
        >>> probabilities(["the", "dull", "film"], idf, 0.5).round(3).tolist()
        [0.9, 0.0, 0.6]
    """
    counts = collections.Counter(words)
    tf_idf = np.array([counts[word] / len(words) * idf[word] for word in words])
    short = tf_idf.max(initial=0) - tf_idf
    if not short.any():
        return np.full(len(words), rate)
    return np.minimum(rate * short / short.mean(), 1)
