"""Documents on the disk: what is written is read, and memory does not grow with it."""

import tracemalloc

import numpy as np
import pytest

from lm.data.paragraphs import document_store, row_streams
from lm.errors import UserError
from tests import paragraphs

MIB = 2**20


def batches(count, tokens):
    rng = np.random.default_rng(0)
    for _ in range(count):
        lengths = np.full(tokens // 200, 200, np.int64)
        yield rng.integers(3, paragraphs.SIZE, 200 * len(lengths)).astype(np.int32), lengths


def use(folder, count):
    """Writes so many MiB, counts them and makes rows of them."""
    document_store.write(folder, batches(count, MIB // 4))
    found = document_store.read(folder, paragraphs.SIZE)
    found.counts()
    rows = row_streams.RowStreams(found, paragraphs.settings("dbow"), count=1, seed=0)
    for _ in range(20):
        rows.take(50_000)
    return found


def test_what_is_written_is_read(tmp_path):
    corpus = paragraphs.corpus()
    lengths = np.diff(corpus.offsets)
    cut = corpus.offsets[3]
    parts = [(corpus.tokens[:cut], lengths[:3]), (corpus.tokens[cut:], lengths[3:])]
    document_store.write(tmp_path / "a" / "b", parts)
    found = document_store.read(tmp_path / "a" / "b", corpus.size)
    assert [x.tolist() for x in found] == [x.tolist() for x in corpus]
    np.testing.assert_array_equal(found.counts(), corpus.counts())


def test_a_corpus_larger_than_the_memory_allowed_is_written_and_read(tmp_path):
    """40 MiB of tokens, written, counted and made into rows with less than 16 MiB."""
    use(tmp_path / "small", 1)  # compiles
    tracemalloc.start()
    try:
        found = use(tmp_path / "corpus", 40)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.tokens.nbytes > 39 * MIB
    assert peak < 16 * MIB


def test_documents_without_words_are_refused(tmp_path):
    with pytest.raises(UserError, match="the documents have no words"):
        document_store.write(tmp_path / "a" / "b", [(np.zeros(0, np.int32), np.zeros(3, np.int64))])
