"""Exact match and F1 of short answers, best over the references, in two ways to normalize.

Both put texts in lower case, drop punctuation and the articles a, an, the, and squeeze spaces.
SQuAD's deletes punctuation; TriviaQA's turns it, and typographic quotes, into spaces.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lm.parts import part

References = Sequence[Sequence[str]]
Scores = dict[str, float]

_QUOTES = "\u2018\u2019\u00b4`"
_DELETED = str.maketrans("", "", string.punctuation)
_SPACED = str.maketrans(dict.fromkeys(string.punctuation + _QUOTES, " "))


@part
def squad(targets: References, predictions: Sequence[str]) -> Scores:
    """Exact match and token F1 as SQuAD's, 0 to 100.

    Args:
        targets: the right answers of each example.
        predictions: a text for each.

    Example:
        >>> squad([["The Nile", "Nile river"]], ["nile."])
        {'exact_match': 100.0, 'f1': 100.0}
    """
    return _best(targets, predictions, lambda text: _normalized(text, _DELETED))


@part
def trivia_qa(targets: References, predictions: Sequence[str]) -> Scores:
    """Exact match and token F1 as TriviaQA's, 0 to 100; arguments as in `squad`."""
    return _best(targets, predictions, lambda text: _normalized(text, _SPACED))


def _normalized(text: str, table: Mapping[int, Any]) -> str:
    text = text.lower().translate(table)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def _best(
    targets: References, predictions: Sequence[str], normalize: Callable[[str], str]
) -> Scores:
    exact, f1 = [], []
    for references, prediction in zip(targets, predictions, strict=True):
        given, right = normalize(prediction), [normalize(one) for one in references]
        exact.append(given in right)
        f1.append(max(_f1(given.split(), one.split()) for one in right))
    return {"exact_match": 100 * sum(exact) / len(exact), "f1": 100 * sum(f1) / len(f1)}


def _f1(given: list[str], right: list[str]) -> float:
    """2PR / (P + R) of the words in common; no words at all agree with no words only."""
    if not given or not right:
        return float(given == right)
    common = sum((Counter(given) & Counter(right)).values())
    return 2 * common / (len(given) + len(right))
