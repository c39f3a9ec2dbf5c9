"""The best of given hypotheses by their own scores and a model's."""

import pytest

from lm.errors import UserError
from lm.inference.rerank import best
from lm.inference.score import Score

LINES = [
    {"inputs": "a", "targets": "x", "score": -1.0},
    {"inputs": "b", "targets": "y", "score": -5},
    {"inputs": "a", "targets": "z", "score": -4.0},
]
SCORES = [Score(value, 3, False, None) for value in (-9.0, -2.0, -5.0)]


def chosen(weight):
    return [found.example["targets"] for found in best(LINES, SCORES, weight=weight)]


def test_the_best_of_each_input_has_the_largest_weighted_sum():
    assert [chosen(weight) for weight in (0.0, 0.3, 0.5, 1.0)] == [
        ["x", "y"],
        ["x", "y"],
        ["z", "y"],
        ["z", "y"],
    ]
    assert [found.combined for found in best(LINES, SCORES, weight=0.5)] == [-4.5, -3.5]


def test_of_equals_the_first_is_kept_and_without_scores_the_model_decides():
    lines = [{"text": "x"}, {"text": "y"}]
    [found] = best(lines, [SCORES[0], SCORES[0]], weight=0.5)
    assert found.example == {"text": "x"}
    [found] = best(lines, SCORES[:2], weight=0.5)
    assert found.example == {"text": "y"}


@pytest.mark.parametrize(
    ("line", "weight", "message"),
    [
        ({"score": "-1"}, 0.5, "example 1: \"score\" is not a number: '-1'"),
        ({"score": 1.0}, 1.5, "--rerank=1.5: the weight of the model must be from 0 to 1"),
    ],
)
def test_what_is_wrong_is_said(line, weight, message):
    with pytest.raises(UserError, match=message):
        best([line], SCORES[:1], weight=weight)
