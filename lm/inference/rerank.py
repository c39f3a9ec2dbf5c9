"""Rescoring of n-best lists by the hypotheses' own scores and a model's."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lm.errors import UserError
from lm.inference.score import Score


class Ranked(NamedTuple):
    """The best hypothesis for an input.

    Attributes:
        example: as given.
        score: the model's score of it.
        combined: the combined score.
    """

    example: Mapping[str, Any]
    score: Score
    combined: float


def best(
    examples: Sequence[Mapping[str, Any]], scores: Sequence[Score], *, weight: float
) -> list[Ranked]:
    """Returns the best hypothesis of each input, in the order of the inputs.

    It has the largest `(1 - weight) · score + weight · log_likelihood`; ties go to the first.

    Args:
        examples: `{"inputs": …, "targets": …, "score": …}`; hypotheses with the same `inputs`
            compete. Without `score` the model alone decides.
        scores: of the examples, by `lm.inference.score.score`.
        weight: of the model's log-likelihood, from 0 to 1; 0.5 in the paper.

    Raises:
        UserError: a score is not a number, or the weight is out of range.

    Source: Sutskever et al. 2014 (https://arxiv.org/abs/1409.3215), section 3.2.
    """
    if not 0 <= weight <= 1:
        raise UserError(f"--rerank={weight}: the weight of the model must be from 0 to 1")
    found: dict[str, Ranked] = {}
    for number, (example, score) in enumerate(zip(examples, scores, strict=True), 1):
        given = example.get("score", 0.0)
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise UserError(f'example {number}: "score" is not a number: {given!r:.40}')
        combined = (1 - weight) * given + weight * score.log_likelihood
        inputs = example.get("inputs", "")
        if inputs not in found or combined > found[inputs].combined:
            found[inputs] = Ranked(example, score, combined)
    return list(found.values())
