"""Questions whose answer is a span of a text, read in windows where the text is long."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from lm.data.rows import text_windows
from lm.data.rows.converter import num_rows, to_rows
from lm.data.rows.question_answering import Spans

# [CLS] q [SEP] and a text of six tokens [SEP]
EXAMPLE = {
    "inputs": np.array([90, 7, 91, 1, 2, 3, 4, 5, 6, 91], "int32"),
    "token_types": np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 1], "int32"),
    "start": 6,
    "end": 7,
}


def rows(converter, width, example=EXAMPLE):
    dataset = tf.data.Dataset.from_tensors(example)
    return list(to_rows(converter, dataset, {"inputs": width}).as_numpy_iterator())


def certain(labels, width):
    """Probabilities [2·W, T] of a model that is almost sure of these labels [W, 2]."""
    return np.concatenate([np.eye(width)[row] * 0.9 + 0.1 / width for row in labels])


def test_windows_hold_question_and_part_of_the_text():
    made = rows(Spans(stride=2), 8)
    assert [row["encoder_input_tokens"].tolist() for row in made] == [
        [90, 7, 91, 1, 2, 3, 4, 91],
        [90, 7, 91, 3, 4, 5, 6, 91],
    ]
    assert made[1]["encoder_token_types"].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    # The answer 4 5 is cut by the first window and whole in the second.
    assert [row["labels"].tolist() for row in made] == [[0, 0], [4, 5]]
    assert num_rows(Spans(stride=2), EXAMPLE, {"inputs": 8}) == 2


def test_every_token_of_the_text_is_in_a_window():
    """Windows are full but the last, which ends with the text, and begin `stride` apart or less."""
    for width, stride in itertools.product(range(5, 12), (1, 2, 3, 128)):
        found = text_windows.windows(tf.constant(EXAMPLE["token_types"]), width, stride)
        starts, ends = found.starts.numpy(), found.ends.numpy()
        assert (starts[0], ends[-1], int(found.prefix)) == (0, 6, 3)
        assert (ends[:-1] - starts[:-1] == width - 4).all() and (ends[:-1] < 6).all()
        assert (starts[1:] <= ends[:-1]).all() and (np.diff(starts) == min(stride, width - 4)).all()


@pytest.mark.parametrize("span", [(-1, -1), (0, 0)])
def test_no_answer_is_position_0(span):
    (row,) = rows(Spans(), 12, {**EXAMPLE, "start": span[0], "end": span[1]})
    assert (row["labels"].tolist(), row["label_weights"].tolist()) == ([0, 0], [1.0, 1.0])


def test_without_types_all_but_the_first_token_is_text():
    example = {"inputs": np.array([90, 8, 7, 6, 91], "int32"), "start": 2, "end": 3}
    made = rows(Spans(stride=1), 4, example)
    assert [row["encoder_input_tokens"].tolist() for row in made] == [
        [90, 8, 7, 91],
        [90, 7, 6, 91],
    ]
    assert [row["labels"].tolist() for row in made] == [[0, 0], [1, 2]]


@pytest.mark.parametrize("width", [8, 9, 10])
def test_labels_are_read_back(width):
    """A model that is sure of the windows' labels finds the answer in the whole text."""
    converter = Spans(stride=1)
    labels = np.array([row["labels"] for row in rows(converter, width)])
    assert converter.span(EXAMPLE, certain(labels, width)) == (6, 7)
    assert converter.prediction(EXAMPLE, certain(labels, width), str) == "[4, 5]"
    assert converter.target(EXAMPLE, str) == "[4, 5]"
    assert converter.prediction(EXAMPLE, certain(0 * labels, width), str) == ""


def test_the_best_window_is_that_of_the_largest_odds_against_no_answer():
    """By hand: log-odds 2·log 4 in the first window, 2·log 6 in the second."""
    probabilities = np.full([2, 2, 8], 1e-9)
    probabilities[:, :, 0] = [[0.2, 0.2], [0.1, 0.1]]
    probabilities[0, 0, 3] = probabilities[0, 1, 4] = 0.8
    probabilities[1, 0, 5] = probabilities[1, 1, 6] = 0.6  # token 5 and 6 of the text
    flat = probabilities.reshape(4, 8)
    assert Spans(stride=2).span(EXAMPLE, flat) == (7, 8)
    assert Spans(stride=2, null_threshold=2 * np.log(5.9)).span(EXAMPLE, flat) == (7, 8)
    assert Spans(stride=2, null_threshold=2 * np.log(6.1)).span(EXAMPLE, flat) == (0, 0)


def test_the_best_span_lies_in_the_text_and_runs_forward():
    converter = Spans(max_answer_length=2)
    example = {"inputs": np.arange(10, 17), "token_types": np.array([0, 0, 1, 1, 1, 1, 1])}
    start = np.array([0.01, 0.5, 0.1, 0.2, 0.1, 0.05, 0.04])
    end = np.array([0.01, 0.1, 0.6, 0.04, 0.05, 0.1, 0.1])
    # 1 lies in the question, 6 is [SEP]; from 2 to 5 is too long; from 3 back to 2 is no span.
    assert converter.span(example, np.stack([start, end])) == (2, 2)
    assert converter.prediction(example, np.stack([start, end]), str) == "[12]"
    start[0] = end[0] = 0.9
    assert converter.prediction(example, np.stack([start, end]), str) == ""
    eager = Spans(null_threshold=-10.0)
    assert eager.span(example, np.stack([start, end])) == (2, 2)
