"""Requests per second of models that score the same texts, with and without a shared prompt."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from lm.bench.measure import Speed
from lm.bench.peers import Calls, Report, alternate
from lm.data.evaluation.questions import Choice, Question, find, with_exemplars

Request = tuple[str, str]
"""A context and a continuation to score."""
Scorer = Callable[[Sequence[Request]], Any]

SETS = {"shared prompts": ("commonsense_qa", 3), "prompts of their own": ("lambada", 0)}
HEADERS = "prompts", "question set", "requests", "requests/s of each", "ours is faster by"


def row(
    kind: str, scorers: Mapping[str, Scorer], *, limit: int, windows: int, report: Report = print
) -> list[object]:
    """Measures all scorers in turn on a kind of prompt and returns a row for `HEADERS`.

    Args:
        kind: one of `SETS`.
        scorers: `ours` and others by name; each scores a list of requests.
        limit: number of questions from the start of the set.
        windows: timed calls of each, after a first one that compiles.
        report: receives a line for each timed call.
    """
    name, shots = SETS[kind]
    asked = requests(name, shots=shots, limit=limit)
    calls: Calls = {name: partial(score, asked) for name, score in scorers.items()}
    speeds = alternate(calls, tokens=len(asked), windows=windows, report=report)
    ours = speeds["ours"].tokens_per_second
    ratios = [f"{ours / s.tokens_per_second:.2f}" for n, s in speeds.items() if n != "ours"]
    each = ", ".join(f"{name} {shown(speed)}" for name, speed in speeds.items())
    return [kind, f"{name}, {shots} solved before", len(asked), each, ", ".join(ratios)]


def shown(speed: Speed) -> str:
    """Returns the median and the range of a speed as text.

    >>> shown(Speed(4.0, 2.0, 8.25, 10))
    '4.0 (2.0 to 8.2)'
    """
    return f"{speed.tokens_per_second:.1f} ({speed.slowest:.1f} to {speed.fastest:.1f})"


def requests(name: str, *, shots: int, limit: int) -> list[Request]:
    """Returns the requests for the first questions of a set, each after some solved examples."""
    all_questions = list(find(name)[0].questions())
    asked = with_exemplars(all_questions[:limit], all_questions, shots, 0)
    return [request for question in asked for request in requests_of(question)]


def requests_of(question: Question) -> list[Request]:
    """Returns the requests of a question, one per answer.

    >>> requests_of(Choice(("Is it?", "Is it?"), ("yes", "no"), (0,)))
    [('Is it?', ' yes'), ('Is it?', ' no')]
    """
    if isinstance(question, Choice):
        answers = (question.delimiter + answer for answer in question.answers)
        return list(zip(question.contexts, answers, strict=True))
    return [(question.context, f" {question.answer}")]  # type: ignore[union-attr]
