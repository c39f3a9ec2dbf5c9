"""The token store: the same examples as SeqIO's, from disk the second time."""

import numpy as np
import pytest
import seqio
import tensorflow as tf

from lm.data.storage import fingerprints, token_store
from lm.data.vocabulary import by_name
from lm.errors import UserError
from tests.data import toy


def ids(store, feature):
    """All vectors of a feature."""
    rows = store.dataset(tf.data.Dataset.range(len(store))).as_numpy_iterator()
    return [row[feature].tolist() for row in rows]


def test_the_store_holds_what_seqio_makes_before_the_mark():
    """Tokens without EOS, which is added after the mark, and the raw text."""
    task = toy.task("tokens_same", {"train": toy.numbered(30)})
    store = token_store.open_store(task, "train")
    expected = token_store.examples(task, "train").as_numpy_iterator()
    for row, wanted in zip(
        store.dataset(tf.data.Dataset.range(30)).as_numpy_iterator(), expected, strict=True
    ):
        assert row.keys() == wanted.keys()
        for name in row:
            np.testing.assert_array_equal(row[name], wanted[name])
    assert toy.text(ids(store, "targets")[8]) == "0008x"


def test_the_second_store_comes_from_disk(monkeypatch):
    """Nothing is tokenized again."""
    task = toy.task("tokens_disk", {"train": toy.numbered(10)})
    first = ids(token_store.open_store(task, "train"), "targets")
    monkeypatch.setattr(token_store, "_collect", None)
    assert ids(token_store.open_store(task, "train"), "targets") == first


def test_another_vocabulary_is_another_store():
    """The cache's key holds the tokenizer's fingerprint."""
    task = toy.task("tokens_vocabulary", {"train": toy.numbered(3)})
    other = {"targets": seqio.Feature(seqio.ByteVocabulary(extra_ids=5))}
    changed = task.replace(output_features={**task.output_features, **other})
    assert token_store.folder_of("tokens", task, "train") != token_store.folder_of(
        "tokens", changed, "train"
    )
    assert token_store.folder_of("tokens", task, "train") == token_store.folder_of(
        "tokens", task.replace(), "train"
    )


def test_opening_a_model_is_not_logged(capfd):
    task = toy.task("tokens_quiet", {"train": toy.numbered(3)})
    pieces = {"targets": seqio.Feature(by_name("python_docs_4k"))}
    task = task.replace(output_features={**task.output_features, **pieces})
    assert len(token_store.open_store(task, "train")) == 3
    assert "LOG(INFO)" not in capfd.readouterr().err


def test_damage_on_disk_is_noticed(cache):
    """A flipped bit changes the checksum."""
    task = toy.task("tokens_damage", {"train": toy.numbered(10)})
    token_store.open_store(task, "train")
    file = max((cache / "tokens").rglob("*.values.npy"), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(UserError, match="damaged cache file"):
        token_store.open_store(task, "train")


def test_what_does_not_fit_or_is_not_marked_is_read_as_a_stream():
    """The store is None then."""
    task = toy.task("tokens_limit", {"train": toy.numbered(10)})
    assert token_store.open_store(task, "train", limit=100) is None
    unmarked = task.replace(preprocessors=[seqio.preprocessors.tokenize])
    assert token_store.open_store(unmarked, "train") is None


def test_scalars_lists_and_fixed_sizes_are_kept():
    """Whatever rank 0 and 1 the task makes."""
    rows = [
        {"targets": "ab", "n": 3, "l": ["x"], "v": [1, 2]},
        {"targets": "c", "n": 4, "l": [], "v": [5, 6]},
    ]

    def fixed(dataset):
        return dataset.map(lambda x: x | {"v": tf.ensure_shape(x["v"], [2])})

    task = toy.task("tokens_kinds", {"train": rows}, features=("targets",))
    task = task.replace(preprocessors=[fixed, *task.preprocessors])
    for store in (token_store.open_store(task, "train"), token_store.open_store(task, "train")):
        found = list(store.dataset(tf.data.Dataset.range(2)).as_numpy_iterator())
        assert [x["n"] for x in found] == [3, 4]
        assert [x["l"].tolist() for x in found] == [[b"x"], []]
        assert [x["v"].tolist() for x in found] == [[1, 2], [5, 6]]


def test_identity_of_a_preprocessor_goes_by_its_values():
    """Bound arguments and captured variables count, addresses do not."""

    def make(captured):
        return lambda dataset: (dataset, captured)

    assert fingerprints.describe(make(1)) == fingerprints.describe(make(1))
    assert fingerprints.describe(make(1)) != fingerprints.describe(make(2))
