"""Feature converters of labelled examples: rows, targets, and predictions read back."""

import numpy as np
import pytest
import tensorflow as tf

from lm.data.rows import classification, multi_label, question_answering
from lm.data.rows.converter import row_shapes, to_rows
from lm.errors import UserError

TYPES = {"inputs": tf.int32, "score": tf.float32}


def dataset(*examples):
    """A dataset of examples given as dicts; lists are vectors of any length."""
    spec = {
        name: tf.TensorSpec([None] if isinstance(value, list) else [], TYPES.get(name, tf.int32))
        for name, value in examples[0].items()
    }
    return tf.data.Dataset.from_generator(lambda: iter(examples), output_signature=spec)


def rows(converter, length, *examples):
    made = to_rows(converter, dataset(*examples), {"inputs": length})
    return [{name: x.tolist() for name, x in row.items()} for row in made.as_numpy_iterator()]


def test_a_row_has_inputs_types_and_label():
    one, two = rows(
        classification.Classification(),
        4,
        {"inputs": [5, 6, 7], "token_types": [0, 1, 1], "label": 2},
        {"inputs": [5, 6, 7, 8, 9], "token_types": [0, 0, 0, 0, 1], "label": -1},
    )
    assert one == {
        "encoder_input_tokens": [5, 6, 7, 0],
        "encoder_segment_ids": [1, 1, 1, 0],
        "encoder_positions": [0, 1, 2, 0],
        "encoder_token_types": [0, 1, 1, 0],
        "labels": [2],
        "label_weights": [1.0],
    }
    assert two["encoder_input_tokens"] == [5, 6, 7, 8]
    assert (two["labels"], two["label_weights"]) == ([0], [0.0])


@pytest.mark.parametrize("label", [1, [1]])
def test_a_label_is_a_scalar_or_a_vector_of_one(label):
    (row,) = rows(classification.Classification(), 2, {"inputs": [5], "label": label})
    assert row["labels"] == [1]
    assert row["encoder_token_types"] == [0, 0]


def test_a_decoder_reads_the_same():
    converter = classification.Classification(side="decoder")
    (row,) = rows(converter, 2, {"inputs": [5], "label": 1})
    assert row["decoder_input_tokens"] == [5, 0]
    assert not any(name.startswith("encoder") for name in row)


def test_every_token_has_a_label_or_none():
    converter = classification.TokenClassification()
    example = {"inputs": [5, 6, 7], "labels": [-1, 3, 1]}
    (row,) = rows(converter, 4, example)
    assert row["labels"] == [0, 3, 1, 0]
    assert row["label_weights"] == [0.0, 1.0, 1.0, 0.0]
    (cut,) = rows(converter, 2, example)
    assert cut["labels"] == [0, 3]
    assert converter.target(example, str) == [3, 1]
    assert converter.prediction(example, np.eye(4)[[0, 2]], str) == [2, -1]


def test_a_score_is_a_float():
    converter = classification.Regression()
    example = {"inputs": [5], "score": 2.5}
    (row,) = rows(converter, 2, example)
    assert (row["labels"], row["label_weights"]) == ([2.5], [1.0])
    assert converter.target(example, str) == 2.5
    assert converter.prediction(example, np.array([0.25]), str) == 0.25


def test_choices_are_rows_of_their_own():
    converter = question_answering.MultipleChoice(num_choices=3)
    example = {"inputs": [5, 6, 7, 8, 9], "choice_lengths": [1, 4], "label": 1}
    (row,) = rows(converter, 3, example)
    assert row["encoder_input_tokens"] == [[5, 0, 0], [6, 7, 8], [0, 0, 0]]
    assert row["encoder_segment_ids"] == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert row["encoder_positions"] == [[0, 0, 0], [0, 1, 2], [0, 0, 0]]
    assert row["labels"] == [1]
    assert converter.prediction(example, np.array([[0.1, 0.7, 0.2]]), str) == 1
    (row,) = rows(question_answering.MultipleChoice(num_choices=1), 3, example)
    assert (row["labels"], row["label_weights"]) == ([0], [0.0])


def test_a_row_may_have_several_labels():
    converter = multi_label.MultiLabel(num_labels=3)
    example = {"inputs": [5, 6], "label_set": [1, 0, 1]}
    (row,) = rows(converter, 4, example)
    assert (row["labels"], row["label_weights"]) == ([1.0, 0.0, 1.0], [1.0] * 3)
    assert converter.target({"label_set": np.array([1, 0, 1])}, str) == [0, 2]
    assert converter.prediction(example, np.array([[0.4, 0.6, 0.5]]), str) == [1]


CONVERTERS = {
    classification.Classification: ((4,), (1,)),
    classification.TokenClassification: ((4,), (4,)),
    classification.Regression: ((4,), (1,)),
    question_answering.Spans: ((4,), (2,)),
    lambda: question_answering.MultipleChoice(num_choices=3): ((3, 4), (1,)),
    lambda: multi_label.MultiLabel(num_labels=3): ((4,), (3,)),
}


@pytest.mark.parametrize("make", CONVERTERS)
def test_shapes_are_known_without_data(make):
    inputs, labels = CONVERTERS[make]
    shapes = row_shapes(make, {"inputs": 4})
    assert shapes["encoder_input_tokens"] == (inputs, "int32")
    assert shapes["labels"][0] == shapes["label_weights"][0] == labels


def test_a_missing_feature_is_named():
    with pytest.raises(UserError, match="the task has no feature 'label'"):
        rows(classification.Classification(), 2, {"inputs": [5], "score": 1.0})
