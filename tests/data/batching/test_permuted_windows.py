"""Rows of XLNet: spans, orders, types, what goes on, positions restored, bad numbers refused."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from lm.data.batching.permuted_windows import PermutedWindows, second_half_backward
from lm.data.batching.windows import Windows, window_batches
from lm.data.rows.permuted_rows import PermutedRow, filled_up, order
from lm.data.special_tokens import special_tokens
from lm.data.vocabulary import byte_vocabulary
from lm.errors import UserError
from tests.data import toy

VOCABULARY = byte_vocabulary(extra_ids=3)
CLS, SEP = special_tokens(VOCABULARY)[1:]
LENGTH, REUSE, STRETCH, PREDICT = 32, 16, 8, 9
ROW = functools.partial(
    PermutedRow, reuse_length=REUSE, permutation_length=STRETCH, num_predict=PREDICT
)
TEXTS = ["the cat sat on a mat and the dog ate it all up", "xy", "one two three four five"]


@pytest.fixture
def task():
    splits = {"train": [{"targets": text} for text in TEXTS]}
    return toy.task("permuted_task", splits, features=("targets",)).name


def make(task, *, batch_size=2, vocabulary=VOCABULARY, **rows):
    return Windows(
        mixture_or_task_name=task,
        lengths={"targets": LENGTH},
        batch_size=batch_size,
        seed=1,
        rows=functools.partial(PermutedWindows, **({"row": ROW} | rows)),
        vocabulary=vocabulary,
    )


def row(seed=0, first=b"the dog", second=b"ate up", **changes):
    made = ROW(length=LENGTH, vocabulary=VOCABULARY, **changes)
    reused, *new = (
        tf.constant([byte + 3 for byte in text], tf.int32)
        for text in (b"the cat sat on a"[:REUSE], first, second)
    )
    found = made(reused, *new, tf.constant([seed, 7], tf.int64))
    return {name: x.numpy() for name, x in found.items()}


def test_the_parts_of_a_row():
    found = row()
    tokens = found["encoder_input_tokens"]
    assert tokens[REUSE:].tolist() == [
        *[byte + 3 for byte in b"the dog"],
        SEP,
        *[byte + 3 for byte in b"ate up"],
        SEP,
        CLS,
    ]
    np.testing.assert_array_equal(found["encoder_token_types"], [0] * 24 + [1] * 7 + [2])
    np.testing.assert_array_equal(found["encoder_remembered"], [1] * REUSE + [0] * REUSE)
    predicted = found["encoder_predicted_positions"]
    np.testing.assert_array_equal(found["encoder_target_tokens"], tokens[predicted])
    assert found["encoder_loss_weights"].sum() == PREDICT
    assert (predicted < REUSE).sum() == PREDICT - PREDICT // 2
    assert not np.isin(tokens[predicted], [SEP, CLS]).any()


def test_ranks_order_what_is_predicted_and_hide_the_second_part_from_the_first():
    found = row()
    ranks, tokens = found["encoder_ranks"], found["encoder_input_tokens"]
    is_ranked = np.isin(np.arange(LENGTH), found["encoder_predicted_positions"])
    is_ranked |= np.isin(tokens, [SEP, CLS])
    assert len(set(ranks[is_ranked])) == is_ranked.sum()
    assert (ranks[:REUSE][~is_ranked[:REUSE]] == -1).all()
    assert (ranks[REUSE:][~is_ranked[REUSE:]] == REUSE).all()
    assert ranks[:REUSE].max() < ranks[REUSE:].min() == REUSE
    within = (ranks[is_ranked] - np.where(np.arange(LENGTH) < REUSE, 0, 1)[is_ranked]) // STRETCH
    np.testing.assert_array_equal(within, np.flatnonzero(is_ranked) // STRETCH)


def test_every_stretch_has_the_same_random_order():
    ranks = order(tf.ones(3 * STRETCH, tf.bool), STRETCH, [3, 4]).numpy().reshape(3, STRETCH)
    assert sorted(ranks[0]) == list(range(STRETCH)) != ranks[0].tolist()
    np.testing.assert_array_equal(ranks, ranks[0] + STRETCH * np.arange(3)[:, None])


def test_spans_begin_words_and_their_lengths_are_as_one_over_n():
    made = PermutedRow(
        length=8192, vocabulary=VOCABULARY, reuse_length=4096, permutation_length=4096
    )
    starts, spans = tf.range(4096) % 4 == 0, tf.function(made.spans)
    counts = np.zeros(6)
    for seed in range(12):
        seeds = tf.random.split([seed, 0], 2)
        chosen = spans(starts, tf.constant(682), 682, seeds).numpy()
        edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen, [0]])))
        begins, ends = edges[::2], edges[1::2]
        assert (begins % 4 == 0).all()
        counts += np.bincount(ends - begins, minlength=6)[:6]
    shares = counts[1:] / counts.sum()
    np.testing.assert_allclose(shares, [0.438, 0.219, 0.146, 0.1095, 0.0876], atol=0.02)


def test_what_is_left_to_predict_is_drawn_from_the_text():
    chosen = tf.constant([False, True, False, False, False])
    is_text = tf.constant([True, True, False, True, True])
    for goal in range(1, 5):
        found = filled_up(chosen, is_text, tf.constant(goal), [1, 2]).numpy()
        assert found.sum() == goal
        assert found[1]
        assert not found[2]


def test_rows_go_on_and_hold_every_token_once_in_their_first_part(task):
    """One stream forward, one backward; both begin at a document."""
    texts = TEXTS[:2] * 2
    splits = {"train": [{"targets": text} for text in texts]}
    task = toy.task("permuted_pairs", splits, features=("targets",)).name
    batches = make(task, batch_size=2, backward=second_half_backward, random_piece_rate=0.0)
    streams = [[], []]
    for _ in range(4):  # eight rows
        batch = next(batches)
        np.testing.assert_array_equal(batch["encoder_direction"], [1, -1])
        for r in range(2):
            first = batch["encoder_input_tokens"][r][:REUSE]
            real = first[batch["encoder_segment_ids"][r][:REUSE] > 0].tolist()
            if not batch["encoder_continues"][r]:
                streams[r].append([])
            streams[r][-1] += real
    joined = [part for stream in streams for part in stream]
    assert sorted(map(len, joined)) == sorted(len(text) + 1 for text in texts)
    found = [toy.text(part) for part in streams[0]] + [toy.text(p[::-1]) for p in streams[1]]
    assert sorted(found) == sorted(texts)


def test_a_position_is_restored_exactly_across_epochs(task):
    expected = [next(batches) for batches in [make(task)] for _ in range(9)]
    assert (expected[0]["encoder_ranks"] != expected[3]["encoder_ranks"]).any()  # another epoch
    batches = make(task)
    for _ in range(5):
        next(batches)
    again = make(task)
    again.restore(batches.state())
    for wanted in expected[5:]:
        found = next(again)
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_evaluation_reads_every_document_from_its_start(task):
    made = window_batches(
        mixture_or_task_name=task,
        split="train",
        lengths={"targets": LENGTH},
        batch_size=2,
        rows=functools.partial(PermutedWindows, row=ROW),
        vocabulary=VOCABULARY,
    )
    weights = sum(batch["encoder_loss_weights"].sum() for batch in made)
    starts = sum(
        ((batch["encoder_segment_ids"][:, 0] > 0) & (batch["encoder_continues"] == 0)).sum()
        for batch in made
    )
    assert starts == len(TEXTS)
    assert weights > 0
    with pytest.raises(KeyError):
        made.texts()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"permutation_length": 5}, r"permutation_length = 5 does not divide .* 16 and 16"),
        ({"reuse_length": 30}, r"reuse_length = 30 leaves too little"),
        ({"num_predict": 30}, r"num_predict = 30, but .*'targets': 32\} have 1 to 29"),
    ],
    ids=["permutation", "reuse", "predicted"],
)
def test_numbers_that_do_not_fit_are_refused(task, changes, words):
    with pytest.raises(UserError, match=words):
        make(task, row=functools.partial(ROW, **changes))


def test_a_vocabulary_without_special_tokens_and_too_few_rows_are_refused(task):
    with pytest.raises(
        UserError, match=r"\[MASK\], \[CLS\] and \[SEP\] need a vocabulary with 3 sentinels"
    ):
        make(task, vocabulary=byte_vocabulary(extra_ids=2))
    with pytest.raises(UserError, match=r"a split of 6 rows .* BATCH_SIZE = 7 streams"):
        make(task, batch_size=7)
