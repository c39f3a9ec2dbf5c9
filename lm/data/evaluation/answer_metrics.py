"""Metrics of answers to questions: `(targets, predictions)` → {name: value in percent}.

A target is a text or a list of accepted texts; "" stands for no answer.
"""

import collections
import re
import string
from collections.abc import Callable, Sequence

import numpy as np

from lm.data.evaluation.label_metrics import f1
from lm.data.evaluation.metrics import References, Scores, Texts
from lm.parts import part

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = re.compile(f"[{re.escape(string.punctuation)}]")
# Quotation marks and an accent used as one.
_TYPOGRAPHIC = re.compile(f"[{re.escape(string.punctuation)}\u2018\u2019\u00b4]")


@part
def squad(targets: References, predictions: Texts) -> Scores:
    """Exact match and F1 of words: the mean of each example's best answer, 0 to 100.

    Ignores case, punctuation and articles.

    Example:
        >>> squad(["The Cat.", ["a dog", "two dogs"]], ["cat", "three dogs"])
        {'em': 50.0, 'f1': 75.0}

    Source: Rajpurkar et al. 2016 (https://arxiv.org/abs/1606.05250), section 6.1.
    """
    return _scores(targets, predictions, lambda text: _PUNCTUATION.sub("", text))


@part
def trivia_qa(targets: References, predictions: Texts) -> Scores:
    """As `squad`, but punctuation, including typographic quotes, separates words.

    Example:
        >>> trivia_qa(["Coca-Cola"], ["coca cola"]), squad(["Coca-Cola"], ["coca cola"])["em"]
        ({'em': 100.0, 'f1': 100.0}, 0.0)

    Source: Joshi et al. 2017 (https://arxiv.org/abs/1705.03551).
    """
    return _scores(targets, predictions, lambda text: _TYPOGRAPHIC.sub(" ", text))


@part
def multirc(targets: Sequence[tuple[str, int]], predictions: Sequence[int]) -> Scores:
    """F1 of the label 1 over all suggested answers, and the fraction of completely right questions.

    A target is the question's id and the label.

    Example:
        >>> found = multirc([("a", 1), ("a", 0), ("b", 1)], [1, 0, 0])
        >>> {name: round(value, 2) for name, value in found.items()}
        {'f1': 66.67, 'em': 50.0}

    Source: Khashabi et al. 2018, "Looking Beyond the Surface", and SuperGLUE.
    """
    is_right: dict[str, bool] = {}
    for (group, label), guess in zip(targets, predictions, strict=True):
        is_right[group] = is_right.get(group, True) and label == guess
    found = f1([label for _, label in targets], predictions)
    return found | {"em": 100 * float(np.mean(list(is_right.values()) or [False]))}


def _scores(
    targets: References, predictions: Texts, without_punctuation: Callable[[str], str]
) -> Scores:
    """Returns the means over all examples."""

    def words(text: str) -> list[str]:
        return _ARTICLES.sub(" ", without_punctuation(text.lower())).split()

    pairs = [
        _best([words(answer) for answer in _answers(target)], words(guess))
        for target, guess in zip(targets, predictions, strict=True)
    ]
    exact, f1 = np.mean(pairs or [(0.0, 0.0)], axis=0)
    return {"em": 100 * float(exact), "f1": 100 * float(f1)}


def _answers(target: str | Sequence[str]) -> Sequence[str]:
    return [target] if isinstance(target, str) else target or [""]


def _best(answers: Sequence[list[str]], guess: list[str]) -> tuple[float, float]:
    """Returns the largest exact match and the largest F1 over the answers."""
    exact = max(float(answer == guess) for answer in answers)
    return exact, max(_f1(answer, guess) for answer in answers)


def _f1(answer: list[str], guess: list[str]) -> float:
    """Returns 2 · common / (words of both); 1 if neither has words, 0 if only one has."""
    if not answer or not guess:
        return float(answer == guess)
    common = collections.Counter(answer) & collections.Counter(guess)
    return 2 * common.total() / (len(answer) + len(guess))
