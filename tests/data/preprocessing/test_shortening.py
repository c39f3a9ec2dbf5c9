"""Prompts fitted into a row: which part of them gives way."""

import pytest
import seqio
import tensorflow as tf

from lm.data.preprocessing import shortening
from lm.data.vocabulary import byte_vocabulary

FEATURES = {"inputs": seqio.Feature(byte_vocabulary())}
QUERY = {"inputs": "Read: abcdefgh Why?", "before": "Read: ", "after": " Why?"}


def shortened(example, length, exemplars=""):
    """The text of a query of 6, 8 and 5 tokens in a row of some length, with its end token."""
    dataset = shortening.measure(tf.data.Dataset.from_tensors(example), FEATURES)
    dataset = dataset.map(lambda one: {**one, "inputs": exemplars + one["inputs"]})
    dataset = seqio.preprocessors.tokenize(dataset, FEATURES)
    lengths = {"inputs": length} if length else None
    (made,) = shortening.shorten(dataset, lengths, FEATURES).as_numpy_iterator()
    return byte_vocabulary().decode(made["inputs"].tolist())


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (None, "Read: abcdefgh Why?"),
        (20, "Read: abcdefgh Why?"),
        (19, "Read: abcdefg Why?"),
        (12, "Read:  Why?"),
        (9, "d:  Why?"),
    ],
)
def test_the_longest_field_gives_way_and_then_the_beginning(length, expected):
    assert shortened(QUERY, length) == expected


@pytest.mark.parametrize(
    ("length", "expected"), [(23, "y. Read: abcdefgh Why?"), (19, "Read: abcdefg Why?")]
)
def test_exemplars_give_way_first(length, expected):
    assert shortened(QUERY, length, exemplars="Say y. ") == expected


def test_a_text_without_fields_is_truncated_on_the_left():
    whole = {"inputs": "abcdef", "before": "abcdef", "after": ""}
    assert shortened(whole, 4) == "def"
