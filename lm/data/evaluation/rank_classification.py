"""Rank classification: the most probable of the possible answers.

Each possible answer of an example is a row with the same inputs. Its score is the sum of the
log-probabilities of its tokens, including the end of the sequence, not divided by the length.

    score(c) = Σ_t log p(c_t | c_<t, inputs);   the answer is argmax_c score(c), ties to the first

Source: Wei et al. 2022 (https://arxiv.org/abs/2109.01652), section 2.3; its release for the rule.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lm.parts import part


class Choice(NamedTuple):
    """One possible answer: the example's index, its own index, and whether it is right."""

    example: int
    number: int
    is_correct: bool


def choice(output: Any, *, example: Mapping[str, Any], is_target: bool) -> Any:
    """Postprocesses a target to its `Choice`; leaves a prediction unchanged."""
    if not is_target:
        return output
    return Choice(int(example["example"]), int(example["choice"]), bool(example["is_correct"]))


@part
def rank_accuracy(targets: Sequence[Choice], scores: Sequence[float]) -> dict[str, float]:
    """Fraction of the examples whose most probable answer is a right one, 0 to 100; 0 if none.

    Args:
        targets: the choices.
        scores: the log-likelihood of each.

    Example:
        >>> two = [Choice(0, 0, True), Choice(0, 1, False), Choice(1, 0, False), Choice(1, 1, True)]
        >>> rank_accuracy(two, [-1.0, -2.0, -1.0, -3.0])
        {'rank_accuracy': 50.0}
    """
    rows = defaultdict(list)
    for target, score in zip(targets, scores, strict=True):
        rows[target.example].append((score, -target.number, target.is_correct))
    best = [max(choices, key=lambda choice: choice[:2]) for choices in rows.values()]
    right = sum(is_correct for *_, is_correct in best)
    return {"rank_accuracy": 100 * right / max(len(best), 1)}
