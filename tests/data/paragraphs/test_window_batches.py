"""Windows: every word once an epoch, draws that depend on seed and document, exact positions."""

import json

import numpy as np
import pytest

from lm.data.paragraphs import draws, row_streams, window_batches, words
from lm.data.paragraphs.window_batches import steps
from lm.data.paragraphs.word_windows import WordWindows, keep_probabilities
from lm.errors import UserError
from tests import paragraphs

SEEN = [0, 1, 3, 4, 5]  # document 2 is empty


def streams(kind="dm_mean", count=1, **more):
    settings = paragraphs.settings(kind, **more)
    return row_streams.RowStreams(paragraphs.corpus(), settings, count=count, seed=3)


def test_an_epoch_has_every_word_once():
    found, seen = streams(), {}
    rows = found.take(len(paragraphs.corpus().tokens))
    for number, word in zip(rows.documents, rows.nodes[:, 0], strict=True):
        seen.setdefault(number, []).append(word)
    assert sorted(seen) == SEEN
    for number, there in seen.items():
        assert there == paragraphs.corpus()[number].tolist()
    assert found.begun <= 6


@pytest.mark.parametrize("count", [1, 2, 6, 30, 1000])
def test_an_order_has_every_document_once(count):
    orders = [[draws.shuffled(i, count, np.uint64(key)) for i in range(count)] for key in (1, 2)]
    assert [sorted(order) for order in orders] == [list(range(count))] * 2
    assert count < 30 or orders[0] != orders[1]


def test_a_window_has_the_words_beside_its_target():
    tokens = np.array([3, 4, 5, 6, 7], np.int32)
    s = paragraphs.settings("dm_concat")
    found = draws.rows_of(tokens, draws.key_of(0, 0, 0), s)
    assert found.context.tolist() == [
        [0, 0, 4, 5],
        [0, 3, 5, 6],
        [3, 4, 6, 7],
        [4, 5, 7, 0],
        [5, 6, 0, 0],
    ]
    np.testing.assert_array_equal(found.context_weights, found.context > 0)


def test_a_row_of_several_words_has_the_words_around_all_of_them():
    tokens = np.array([3, 4, 5, 6, 7], np.int32)
    s = paragraphs.settings("dm_concat", predicted=2)
    found = draws.rows_of(tokens, draws.key_of(0, 0, 0), s)
    assert found.nodes[:, :2].tolist() == [[3, 4], [5, 6], [7, 0]]
    assert found.context.tolist() == [[0, 0, 5, 6], [3, 4, 7, 0], [5, 6, 0, 0]]
    assert found.node_weights[2, 1] == 0


@pytest.mark.parametrize("predicted", [1, 2, 3])
def test_every_word_has_its_own_nodes_in_a_row_of_several(predicted):
    """A row says as much as rows of one word each, against the same negatives."""
    tokens, s = paragraphs.corpus()[0], paragraphs.settings("dbow", predicted=predicted)
    tree = paragraphs.settings("dbow", paragraphs.TREE, predicted=predicted)
    single = paragraphs.settings("dbow", paragraphs.TREE)
    key = draws.key_of(0, 0, 0)
    words = draws.rows_of(tokens, key, single)
    for number, rows in enumerate(zip(*draws.rows_of(tokens, key, tree), strict=True)):
        first = number * predicted
        each = [totals(*(x[i] for x in words)) for i in range(first, min(first + predicted, 20))]
        np.testing.assert_allclose(totals(*rows), sum(each), atol=1e-6)
    for number, rows in enumerate(zip(*draws.rows_of(tokens, key, s), strict=True)):
        there = tokens[number * predicted : (number + 1) * predicted]
        one, zero = totals(*rows)
        np.testing.assert_allclose(one, np.bincount(there, minlength=12), atol=1e-6)
        others = len(there) - np.bincount(there, minlength=12)
        drawn = np.round(zero / np.maximum(others, 1))
        np.testing.assert_allclose(zero, drawn * others, atol=1e-6)
        assert drawn.sum() <= 3


def totals(document, context, context_weights, nodes, labels, weights):
    """Returns how often each node of a row is a 1, and how often a 0: [2, V]."""
    del document, context, context_weights
    known = nodes[weights > 0]
    assert len(np.unique(known)) == len(known)
    both = np.stack([weights * labels, weights * (1 - labels)])
    return np.stack([np.bincount(nodes, x, minlength=12) for x in both])


def test_the_reach_of_windows_is_drawn_evenly():
    tokens = np.full(3000, 3, np.int32)
    found = draws.rows_of(tokens, draws.key_of(0, 0, 0), paragraphs.settings("dm_mean"))
    assert found.context_weights[2:-2].sum(1).mean() == pytest.approx(3, abs=0.1)


def test_draws_follow_the_counts_and_never_count_against_the_target():
    tokens = np.full(4000, 3, np.int32)
    s = paragraphs.settings("dm_mean")
    found = draws.rows_of(tokens, draws.key_of(0, 0, 0), s)
    drawn, weights = found.nodes[:, 1:], found.node_weights[:, 1:]
    np.testing.assert_array_equal(weights.sum(1), (drawn != 3).sum(1))
    p = np.where(np.arange(12) > 2, paragraphs.corpus().counts(), 0) ** 0.75
    share = np.bincount(drawn.ravel(), minlength=12) / drawn.size
    np.testing.assert_allclose(share, p / p.sum(), atol=0.02)


def test_a_word_drawn_twice_counts_twice_at_its_first_place():
    tokens = np.full(500, 3, np.int32)
    found = draws.rows_of(tokens, draws.key_of(0, 0, 0), paragraphs.settings("dbow"))
    for drawn, weights in zip(found.nodes[:, 1:], found.node_weights[:, 1:], strict=True):
        counts = dict(zip(*np.unique(drawn[drawn != 3], return_counts=True), strict=True))
        assert {v: w for v, w in zip(drawn, weights, strict=True) if w} == counts


def test_sub_sampling_keeps_the_expected_share():
    counts = np.array([0, 0, 0, 900, 90, 10])
    keep = keep_probabilities(counts, 0.01)
    s = paragraphs.settings("dbow")._replace(keep=keep)
    found = draws.rows_of(np.full(5000, 3, np.int32), draws.key_of(1, 0, 0), s)
    assert len(found.nodes) / 5000 == pytest.approx(keep[3], abs=0.02)


@pytest.mark.parametrize("count", [1, 3])
def test_a_restored_position_goes_on_with_the_next_row(count):
    whole, again = streams(count=count), streams(count=count)
    for each in (0, 17):
        whole.take(each)
        again.restore(json.loads(json.dumps(whole.state())))
        for x, y in zip(whole.take(40), again.take(40), strict=True):
            np.testing.assert_array_equal(x, y)


def test_steps_of_an_epoch_are_those_of_its_words():
    vocabulary = words.WordVocabulary({"a": 70, "b": 30})
    made = steps(
        vocabulary=vocabulary,
        windows=lambda: WordWindows(nodes=paragraphs.SAMPLING, predicted=2, before=1),
        batch_size=8,
        epochs=4,
    )
    assert made == 25


def test_words_are_counted_and_read_back(tmp_path):
    found = words.count(["A film, a FILM!", "a bore"], min_count=1)
    assert found == {"a": 3, "film": 2, "!": 1, ",": 1, "bore": 1}
    (tmp_path / "words.tsv").write_text("".join(words.lines(found)))
    assert words.read_counts(tmp_path / "words.tsv") == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\t3\nb\n", "words.tsv:2: no word, tab and count: 'b'"),
        ("a\t3\nb\t-1\n", "words.tsv:2"),
        ("a\t3\na\t2\n", "words.tsv:2: the word 'a' is there twice"),
        ("a\0\t3\n", "words.tsv:1"),
    ],
)
def test_a_bad_file_of_words_is_named_by_line(text, message, tmp_path):
    (tmp_path / "words.tsv").write_text(text)
    with pytest.raises(UserError, match=message):
        words.read_counts(str(tmp_path / "words.tsv"))


def test_a_damaged_position_is_one_line():
    batches = object.__new__(window_batches.WindowBatches)
    for state in (b"\xff", b"[]", b"{}"):
        with pytest.raises(UserError, match="the saved position in the data is damaged"):
            batches.restore(state)
