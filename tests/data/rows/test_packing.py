"""Packing, padding, splitting: every token once, no mixing, positions that start again."""

from itertools import chain

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lm.data.rows import packing
from lm.errors import ConfigError
from tests.data.toy import dataset_of, ragged, rows_of

LENGTHS = {"inputs": 7, "targets": 5}
EXAMPLES = st.lists(
    st.tuples(
        st.lists(st.integers(0, 99), max_size=LENGTHS["inputs"]),
        st.lists(st.integers(0, 99), max_size=LENGTHS["targets"]),
    ),
    min_size=1,
    max_size=12,
)


def unpacked(rows, names):
    """The examples found in rows by their segment ids, as a sorted list."""
    found = []
    for r in range(len(rows[names[0]])):
        last = max(rows[f"{name}_segment_ids"][r].max() for name in names)
        for segment in range(1, last + 1):
            here = [rows[name][r][rows[f"{name}_segment_ids"][r] == segment] for name in names]
            found.append(tuple(tuple(tokens.tolist()) for tokens in here))
    return sorted(found)


def packed(examples):
    """The rows that first fit makes of pairs."""
    inputs, targets = zip(*examples, strict=True)
    group = {"inputs": ragged(inputs), "targets": ragged(targets)}
    return {k: v.numpy() for k, v in packing.FirstFit().rows(group, LENGTHS).items()}


@settings(max_examples=40, deadline=None)
@given(examples=EXAMPLES)
def test_first_fit_keeps_every_example_once_and_whole(examples):
    """What the rows hold by segment is what went in, and positions count from 0 in each."""
    rows = packed(examples)
    held = [pair for pair in unpacked(rows, ("inputs", "targets")) if pair != ((), ())]
    assert held == sorted((tuple(a), tuple(b)) for a, b in examples if a or b)
    for name, length in LENGTHS.items():
        segments, positions = rows[f"{name}_segment_ids"], rows[f"{name}_positions"]
        assert segments.shape[1] == length
        assert (rows[name][segments == 0] == 0).all()
        for row_segments, row_positions in zip(segments, positions, strict=True):
            for segment in set(row_segments.tolist()) - {0}:
                mine = row_positions[row_segments == segment]
                assert mine.tolist() == list(range(len(mine)))


@settings(max_examples=40, deadline=None)
@given(examples=EXAMPLES)
def test_no_row_could_have_held_the_first_example_of_a_later_one(examples):
    """First fit opens a row only for an example that fits in no earlier row."""
    rows = packed(examples)
    used = {name: (rows[f"{name}_segment_ids"] > 0).sum(1) for name in LENGTHS}
    first = {name: (rows[f"{name}_segment_ids"] == 1).sum(1) for name in LENGTHS}
    for later in range(1, len(used["inputs"])):
        for earlier in range(later):
            assert any(used[n][earlier] + first[n][later] > LENGTHS[n] for n in LENGTHS)


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.lists(st.integers(0, 99), max_size=23), min_size=1, max_size=8),
    length=st.integers(1, 9),
)
def test_split_keeps_every_token_in_order(texts, length):
    """Pieces joined again are the text, and all but the last are full."""
    found = packing.cut({"targets": ragged(texts)}, {"targets": length})["targets"].to_list()
    assert [*chain(*found)] == [*chain(*texts)]
    assert max(map(len, found)) <= length
    assert len(found) == sum(max(1, -(-len(text) // length)) for text in texts)


def test_vectors_of_one_known_size_are_packed_too():
    """TensorFlow batches them densely, which must make no difference."""
    dataset = tf.data.Dataset.from_tensor_slices({"targets": np.arange(12).reshape(4, 3)})
    pieces = packing.split(dataset, {"targets": 2})
    rows = rows_of(packing.row_groups(pieces, {"targets": 4}, packing.FirstFit(group=3)))
    assert unpacked(rows, ("targets",)) == [
        ((0, 1),), ((2,),), ((3, 4),), ((5,),), ((6, 7),), ((8,),), ((9, 10),), ((11,),)
    ]  # fmt: skip


def test_trim_cuts_what_is_too_long():
    """Each feature to its own length."""
    dataset = dataset_of([{"inputs": [1, 2, 3], "targets": [4]}])
    (cut,) = packing.trim(dataset, {"inputs": 2, "targets": 2}).as_numpy_iterator()
    assert (cut["inputs"].tolist(), cut["targets"].tolist()) == ([1, 2], [4])


@pytest.mark.parametrize("packer", [packing.Pad(), packing.FirstFit()])
def test_float_features_keep_their_type(packer):
    """Loss weights are packed like tokens."""
    rows = packer.rows({"w": ragged([[1.0, 0.5], [0.25]], tf.float32)}, {"w": 3})
    assert rows["w"].dtype == tf.float32
    assert rows["w"].numpy().sum() == 1.75


def test_rows_hold_no_more_examples_than_allowed():
    group = {"targets": ragged([[1], [2], [3, 4], [5]])}
    rows = packing.FirstFit(max_examples=2).rows(group, {"targets": 5})
    assert rows["targets"].numpy().tolist() == [[1, 2, 0, 0, 0], [3, 4, 5, 0, 0]]
    assert rows["targets_segment_ids"].numpy().tolist() == [[1, 2, 0, 0, 0], [1, 1, 2, 0, 0]]
    with pytest.raises(ConfigError, match="max_examples must be at least 1, got 0"):
        packing.FirstFit(max_examples=0)
