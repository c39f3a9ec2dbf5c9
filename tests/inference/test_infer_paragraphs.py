"""Vectors of unseen paragraphs: all else is frozen, and a trained document is nearest itself."""

import functools

import numpy as np
import pytest

from lm.data.paragraphs import draws, nodes, row_streams
from lm.data.paragraphs.documents import Documents
from lm.data.paragraphs.word_windows import WordWindows
from lm.engines.row_updates import Plan, Rates, Tables, update_rows
from lm.engines.rowwise import columns
from lm.inference.infer_paragraphs import Frozen, vector

DOCUMENTS, TOPICS, SIZE, WIDTH = 40, 40, 203, 12
RATES = np.linspace(0.05, 0.001, 30)


@functools.cache
def trained() -> tuple[Frozen, Documents]:
    """A bag of words over documents that each have a few words of their own."""
    rng = np.random.default_rng(0)
    tokens = [3 + (5 * d + rng.integers(0, 8, 60)) % (SIZE - 3) for d in range(DOCUMENTS)]
    found = Documents(np.concatenate(tokens).astype("int32"), 60 * np.arange(DOCUMENTS + 1), SIZE)
    settings = WordWindows(nodes=nodes.negative_sampling).settings(found.counts())
    start = rng.uniform(-0.5, 0.5, (DOCUMENTS, WIDTH)).astype("float32") / WIDTH
    tables = Tables(start, np.zeros((0, 0), "float32"), np.zeros((SIZE, WIDTH), "float32"))
    plan = Plan(np.zeros(1, int), num_vectors=1, has_document=1, is_mean=0, skips=1)
    rows = row_streams.RowStreams(found, settings, count=1, seed=0)
    for rate in np.repeat(RATES, 2):
        batch = row_streams.batch_of(rows.take(len(found.tokens)))
        update_rows(tables, plan, Rates(*[rate] * 3), columns(batch))
    return Frozen(tables, plan, settings), found


def test_a_trained_document_is_nearest_its_own_vector():
    frozen, found = trained()
    made = np.array([vector(frozen, found[d], RATES, seed=1) for d in range(DOCUMENTS)])
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (made, frozen.tables.documents)]
    nearest = np.argmax(unit[0] @ unit[1].T, axis=1)
    assert np.mean(nearest == np.arange(DOCUMENTS)) >= 0.95


def test_all_but_the_paragraph_is_frozen_bit_for_bit():
    frozen, found = trained()
    before = [x.tobytes() for x in frozen.tables]
    vector(frozen, found[3], RATES, seed=1)
    assert [x.tobytes() for x in frozen.tables] == before


def test_a_vector_depends_on_text_and_seed_alone():
    frozen, found = trained()
    one, again, other = (vector(frozen, found[3], RATES, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_paragraph_without_words_keeps_its_first_vector():
    frozen, _ = trained()
    made = vector(frozen, np.array([2, 1], "int32"), RATES, seed=1)
    assert np.abs(made).max() <= 0.5 / WIDTH


def test_keys_of_documents_differ():
    keys = {int(draws.key_of(s, e, d)) for s in range(4) for e in range(4) for d in range(50)}
    assert len(keys) == 4 * 4 * 50


def test_infer_refuses_models_without_documents():
    from lm.errors import UserError

    class Words:
        class model:
            documents = None

    with pytest.raises(UserError, match="trained without documents"):
        Frozen.of(Words)
