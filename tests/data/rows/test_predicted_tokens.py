"""Rows with the targets of the predicted tokens alone."""

import pytest

from lm.data.rows import converter as converters
from lm.data.rows import packing
from lm.data.rows.predicted_tokens import PredictedTokens
from lm.errors import UserError
from tests.data.toy import dataset_of

MASKED = [
    {"inputs": [5, 99, 7, 99, 9], "targets": [5, 6, 7, 8, 9], "loss_weights": [0, 1, 0, 1, 0]},
    {"inputs": [99, 3], "targets": [4, 3], "loss_weights": [1, 0]},
]


def row_of(count, examples, length=8):
    converter = PredictedTokens(max_predictions=count, pack=packing.FirstFit)
    rows = converters.to_rows(converter, dataset_of(examples), {"inputs": length})
    (row,) = rows.as_numpy_iterator()
    return {name: value.tolist() for name, value in row.items()}


def test_the_first_tokens_of_weight_are_predicted():
    row = row_of(3, MASKED)
    assert row["encoder_input_tokens"] == [5, 99, 7, 99, 9, 99, 3, 0]
    assert row["encoder_predicted_positions"] == [1, 3, 5]
    assert row["encoder_target_tokens"] == [6, 8, 4]
    assert row["encoder_loss_weights"] == [1, 1, 1]


def test_others_of_no_weight_stand_where_there_are_fewer():
    row = row_of(3, MASKED[:1])
    assert row["encoder_predicted_positions"] == [1, 3, 0]
    assert row["encoder_loss_weights"] == [1, 1, 0]


def test_more_predictions_than_tokens_are_refused():
    with pytest.raises(UserError, match="max_predictions = 9 is more than the 8 tokens of a row"):
        row_of(9, MASKED)
