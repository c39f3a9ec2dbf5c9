"""Neighbours, similarities, analogies of named vectors; maps of languages; classification."""

import numpy as np
import pytest

from lm.errors import UserError
from lm.inference.keyed_vectors import KeyedVectors
from lm.inference.linear_classifier import in_blocks, linear_error
from lm.inference.plots import plot_projection, principal_components, write_projector
from lm.inference.translation_matrix import TranslationMatrix, closed_form, orthogonal

RNG = np.random.default_rng(0)
NAMES = ["king", "queen", "man", "woman", "apple"]
ROYAL, FEMALE, FRUIT = np.eye(3, 6)
VECTORS = np.array([ROYAL, ROYAL + FEMALE, 0 * ROYAL, FEMALE, FRUIT]) + 0.1
FOUND = KeyedVectors(NAMES, VECTORS)


def test_an_analogy_leaves_its_own_words_out():
    assert FOUND.most_similar(["king", "woman"], ["man"], topn=1)[0][0] == "queen"


def test_neighbours_are_sorted_by_cosine():
    near = FOUND.most_similar("king", topn=99)
    assert near[0][0] == "queen"
    assert len(near) == 4
    assert near == sorted(near, key=lambda item: -item[1])
    assert near[0][1] == pytest.approx(FOUND.similarity("king", "queen"), abs=1e-6)


def test_the_odd_one_is_named():
    assert FOUND.doesnt_match(["king", "queen", "woman", "apple"]) == "apple"


def test_an_unknown_name_is_one_line():
    with pytest.raises(UserError, match="'kign' is not one of the 5 names"):
        FOUND.most_similar("kign")


def test_vectors_are_saved_without_pickle(tmp_path):
    FOUND.save(tmp_path / "v.safetensors")
    again = KeyedVectors.load(tmp_path / "v.safetensors")
    assert again.index_to_key == NAMES
    np.testing.assert_array_equal(again.vectors, FOUND.vectors)
    (tmp_path / "bad").write_bytes(b"\x80\x04pickle")
    with pytest.raises(UserError, match="not a file of KeyedVectors"):
        KeyedVectors.load(tmp_path / "bad")


def test_tables_of_pairs_and_analogies_are_read(tmp_path):
    (tmp_path / "pairs.tsv").write_text(
        "word1\tword2\tscore\nKing\tqueen\t9\nking\tapple\t1\na\tb\t2\n"
    )
    found = FOUND.evaluate_word_pairs(tmp_path / "pairs.tsv")
    assert found == {"spearman": pytest.approx(100), "coverage": pytest.approx(200 / 3)}
    (tmp_path / "questions.txt").write_text(": family\nman woman king queen\nman x king y\n")
    found = FOUND.evaluate_word_analogies(tmp_path / "questions.txt")
    assert found == {"accuracy": 100.0, "coverage": 50.0}


@pytest.mark.parametrize("fit", [closed_form, orthogonal])
def test_a_rotation_is_found_again(fit):
    rotation = np.linalg.qr(RNG.normal(size=(8, 8)))[0]
    words = [f"w{i}" for i in range(60)]
    source = RNG.normal(size=(60, 8))
    one, other = KeyedVectors(words, source), KeyedVectors(words, source @ rotation.T)
    pairs = [(word, word) for word in words]
    made = TranslationMatrix(one, other, pairs[:30], fit=fit)
    assert np.abs(made.matrix - rotation).max() < 1e-5
    assert made.precision([*pairs[30:], ("none", "none")]) == (
        100.0,
        100.0,
        pytest.approx(3000 / 31),
    )
    assert made.precision(pairs[30:], confidence=1.1).coverage == 0


def test_too_few_pairs_are_refused():
    with pytest.raises(UserError, match="1 of 2 pairs have vectors; a map of 6 dimensions"):
        TranslationMatrix(FOUND, FOUND, [("king", "king"), ("a", "b")])


def test_labels_in_blocks_are_warned_of(caplog):
    labels = np.repeat([0, 1], 50)
    vectors = RNG.normal(size=(100, 3)) + labels[:, None]
    is_train = np.arange(100) % 2 == 0
    blocked = linear_error(vectors, labels, is_train)
    assert "equal labels are adjacent" in caplog.text
    order = RNG.permutation(100)
    assert not in_blocks(labels[order])
    assert linear_error(vectors[order], labels[order], is_train[order]) == pytest.approx(
        blocked, abs=4
    )
    with pytest.raises(UserError, match="the train vectors need at least two labels"):
        linear_error(vectors, labels, labels == 0)


def test_two_dimensions_keep_the_largest_variance(tmp_path):
    vectors = RNG.normal(size=(40, 5)) * [9, 1, 5, 0.1, 0.1]
    points = principal_components(vectors)
    assert np.corrcoef(points[:, 0], vectors[:, 0])[0, 1] ** 2 > 0.95
    plot_projection(VECTORS, NAMES, tmp_path / "words.png")
    write_projector(VECTORS, NAMES, tmp_path / "projector")
    assert (tmp_path / "words.png").stat().st_size > 1000
    assert (tmp_path / "projector" / "names.tsv").read_text().split() == NAMES
