"""Rows that go on: nothing lost, nothing twice, borders where documents are, positions restored."""

import numpy as np
import pytest
import tensorflow as tf

from lm.data.batching import contiguous
from lm.data.batching.contiguous import ContiguousWindows
from lm.data.batching.windows import Windows, window_batches
from lm.errors import UserError
from tests.data import toy

TEXTS = ["abcdefghijk", "l", "mnopq", "", "rstuvwxyz", "ABCDEF"]
SIZE = sum(len(text) + 1 for text in TEXTS)  # each with its end


@pytest.fixture
def task():
    splits = {"train": [{"targets": text} for text in TEXTS]}
    return toy.task("contiguous_task", splits, features=("targets",)).name


def make(task, **changes):
    settings = {"lengths": {"targets": 4}, "batch_size": 3, "seed": 1} | changes
    return Windows(mixture_or_task_name=task, rows=ContiguousWindows, **settings)


def batches_of(length, rows):
    """Batches of an epoch."""
    longest = (SIZE + rows - 1) // rows
    return (longest + length - 1) // length


def read(batches):
    """Follows every row through the batches; returns the documents as the rows tell them."""
    found = []
    for rows in zip(*(split(batch) for batch in batches), strict=True):
        stream = []
        for row in rows:
            parts = pieces(row)
            if parts and row["decoder_continues"]:
                first = parts.pop(0)
                assert first["inputs"][0] == stream[-1][-1]
                stream[-1] += first["targets"]
            for part in parts:
                assert part["inputs"][0] == 0
                stream.append(list(part["targets"]))
        found.append(stream)
    return found


def split(batch):
    rows = len(batch["decoder_continues"])
    return [{name: x[r] for name, x in batch.items()} for r in range(rows)]


def pieces(row):
    """The segments of a row, each checked by itself."""
    found, segments = [], row["decoder_segment_ids"]
    for number in range(1, segments.max() + 1):
        mine = segments == number
        inputs, targets = (row[f"decoder_{side}_tokens"][mine] for side in ("input", "target"))
        np.testing.assert_array_equal(inputs[1:], targets[:-1])
        np.testing.assert_array_equal(row["decoder_positions"][mine], np.arange(mine.sum()))
        found.append({"inputs": inputs, "targets": list(targets)})
    np.testing.assert_array_equal(row["decoder_loss_weights"], segments > 0)
    assert not row["decoder_target_tokens"][segments == 0].any()
    return found


@pytest.mark.parametrize(("length", "rows"), [(4, 3), (1, 2), (7, 1), (50, 3), (3, 30)])
def test_every_token_stands_once_in_an_epoch_and_rows_go_on(task, length, rows):
    batches = make(task, lengths={"targets": length}, batch_size=rows)
    orders = []
    for _ in range(2):
        streams = read([next(batches) for _ in range(batches_of(length, rows))])
        joined = [token for stream in streams for part in stream for token in part]
        assert len(joined) == SIZE
        documents, text = "", toy.text
        ends = [i for i, token in enumerate(joined) if token == 1]
        documents = [text(joined[a + 1 : b]) for a, b in zip([-1, *ends], ends, strict=False)]
        assert sorted(documents) == sorted(TEXTS)
        orders.append(documents)
        sizes = [sum(map(len, stream)) for stream in streams]
        assert max(sizes) - min(sizes) <= 1
    assert orders[0] != orders[1]


def test_a_position_is_restored_exactly_across_epochs(task):
    count = 2 * batches_of(4, 3) + 1
    expected = [next(batches) for batches in [make(task)] for _ in range(count + 3)]
    for at in (1, batches_of(4, 3), count):
        batches = make(task)
        for _ in range(at):
            next(batches)
        again = make(task)
        again.restore(batches.state())
        for wanted in expected[at : at + 3]:
            found = next(again)
            for name, array in wanted.items():
                np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_another_seed_is_another_order_and_another_batch_size_other_data(task):
    one, other = (read([next(make(task, seed=seed, batch_size=1))]) for seed in (1, 2))
    assert one != other
    with pytest.raises(UserError, match="batch_size was 3, is 2"):
        make(task, batch_size=2).restore(make(task).state())


@pytest.mark.parametrize(("length", "rows"), [(4, 3), (2, 1), (5, 8)])
def test_evaluation_reads_every_document_from_its_start_in_one_stream(task, length, rows):
    made = window_batches(
        mixture_or_task_name=task,
        split="train",
        lengths={"targets": length},
        batch_size=rows,
        rows=ContiguousWindows,
    )
    streams = read(list(made))
    found = [toy.text(document[:-1]) for stream in streams for document in stream]
    assert sorted(found) == sorted(TEXTS)
    assert made.texts() == TEXTS
    assert all(document[-1] == 1 for stream in streams for document in stream)


def test_a_split_with_fewer_tokens_than_rows_is_refused(task):
    with pytest.raises(UserError, match=r"a split of 38 tokens .* BATCH_SIZE = 39 rows"):
        make(task, batch_size=39)


def test_the_docstring_draws_what_is_made():
    examples = [{"targets": [1, 2, 3, 4, 5]}, {"targets": [6, 7]}, {"targets": [8, 9, 10, 11]}]
    found, bounds = contiguous.side_by_side(contiguous.documents(toy.dataset_of(examples)), 2)
    assert bounds.tolist() == [0, 5, 11]
    rows = list(contiguous._rows(contiguous.streams(found, bounds), 3).as_numpy_iterator())
    assert [row["decoder_input_tokens"].tolist() for row in rows] == [
        [0, 1, 2],
        [0, 6, 0],
        [3, 4, 0],
        [8, 9, 10],
    ]
    assert [int(row["decoder_continues"]) for row in rows] == [0, 0, 1, 1]


def test_documents_are_found_among_many_short_ones_and_a_long_one():
    """2 GB, were the mask of the empty ones as wide as the longest document."""
    sizes = np.array([100_000, *[1, 0] * 10_000])
    tokens = tf.RaggedTensor.from_row_lengths(tf.range(sizes.sum()), sizes)
    examples = tf.data.Dataset.from_tensor_slices({"targets": tokens})
    found = contiguous.documents(examples)
    assert found.row_lengths().numpy().tolist() == sizes[sizes > 0].tolist()
    np.testing.assert_array_equal(found.flat_values, np.arange(sizes.sum()))
