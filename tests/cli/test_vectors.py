"""`lm vectors` on files of word vectors: neighbours, scores, translations, other formats."""

import json

import numpy as np
import pytest

from lm.cli.main import main
from lm.errors import UserError
from lm.inference import word_tables
from lm.inference.keyed_vectors import KeyedVectors

ROYAL, FEMALE, FRUIT = np.eye(3)
WORDS = {
    "king": ROYAL,
    "queen": ROYAL + FEMALE,
    "man": ROYAL * 0.1 + 0.1,
    "woman": FEMALE + 0.1,
    "apple": FRUIT,
}


@pytest.fixture
def file(tmp_path):
    KeyedVectors(list(WORDS), np.array(list(WORDS.values()))).save(tmp_path / "v.safetensors")
    return f"{tmp_path}/v.safetensors"


def test_an_analogy_is_answered(file, capsys):
    words = ["king", "woman", "--without", "man", "--count=1", "--json"]
    assert main(["vectors", "nearest", f"--vectors={file}", *words]) == 0
    assert json.loads(capsys.readouterr().out)["word"] == "queen"


def test_similarity_and_analogies_of_the_data_folder_are_scored(
    file, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("LM_DATA_DIR", str(tmp_path))
    for name in ("word_similarity", "analogies"):
        (tmp_path / name).mkdir()
    table = "word1\tword2\tscore\nking\tqueen\t9\nking\tapple\t1\nwoman\tqueen\t8\n"
    (tmp_path / "word_similarity" / "PAIRS.tsv").write_text(table)
    (tmp_path / "analogies" / "questions-words.txt").write_text(": family\nMan woman king queen\n")
    assert main(["vectors", "evaluate", f"--vectors={file}", "--json"]) == 0
    found = {row["set"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert found["analogies"]["percent"] == 100
    assert found["PAIRS"]["metric"] == "spearman"
    assert found["PAIRS"]["coverage"] == 100


def test_a_map_of_languages_is_scored(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 4))
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    KeyedVectors([f"a{i}" for i in range(30)], x).save(tmp_path / "a.safetensors")
    KeyedVectors([f"b{i}" for i in range(30)], x @ turn).save(tmp_path / "b.safetensors")
    for name, numbers in (("train", range(20)), ("test", range(20, 31))):
        lines = "".join(f"A{i}\tb{i}\n" for i in numbers)
        (tmp_path / f"{name}.tsv").write_text("a\tb\n" + lines)
    words = ["translate", f"--vectors={tmp_path}/a.safetensors", f"--to={tmp_path}/b.safetensors"]
    words += [f"--pairs={tmp_path}/train.tsv", f"--test={tmp_path}/test.tsv", "--json"]
    assert main(["vectors", *words, "--fit=orthogonal"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (first["P@1"], first["coverage"]) == (100, pytest.approx(1000 / 11))


TABLES = {
    "words": (b"a\tb\none\teins\ntwo zwei\n", ":3: no word, tab, translation: 'two zwei'"),
    "cells": (b"a\tb\none\teins\t1\n", ":2: no word, tab, translation"),
    "UTF-8": (b"a\tb\none\teins\ntwo\tzw\xff\n", ":3: invalid UTF-8 (byte 7 of the line)"),
    "NUL": (b"a\tb\none\teins\0\n", ":2: NUL byte"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_pairs_that_is_none_is_named_with_its_line(name, file, tmp_path, capsys):
    content, message = TABLES[name]
    (tmp_path / "pairs.tsv").write_bytes(content)
    words = [f"--vectors={file}", f"--to={file}", f"--test={tmp_path}/pairs.tsv"]
    assert main(["vectors", "translate", *words, f"--pairs={tmp_path}/pairs.tsv"]) == 1
    assert f"{tmp_path}/pairs.tsv{message}" in capsys.readouterr().err


def test_tables_of_other_systems_are_read(tmp_path):
    (tmp_path / "pairs.tsv").write_bytes("\ufeffen\tde\r\nDesires\tWünsche\r\n\r\n".encode())
    assert list(word_tables.translations(tmp_path / "pairs.tsv")) == [("desires", "wünsche")]


@pytest.mark.parametrize(
    ("read", "line", "message"),
    [
        (word_tables.scored_pairs, "one\ttwo\tmany", "2: the score 'many' is not a number"),
        (word_tables.scored_pairs, "one\ttwo\tnan", "2: the score 'nan' is not a number"),
        (word_tables.analogies, "one two three", "2: no four words of an analogy"),
    ],
)
def test_scores_and_analogies_that_are_none_are_named(read, line, message, tmp_path):
    (tmp_path / "table").write_text(f": heading\n{line}\n")
    with pytest.raises(UserError, match=message):
        list(read(tmp_path / "table"))


def labelled(tmp_path, labels):
    """Files of vectors that tell their label, the first half for training, and of the labels."""
    vectors = np.random.default_rng(0).normal(0, 0.3, (len(labels), 3))
    vectors[:, 0] += labels
    KeyedVectors(None, vectors).save(tmp_path / "d.safetensors")
    half = len(labels) // 2
    for name, part in (("train", labels[:half]), ("test", labels[half:])):
        lines = "".join(f'{{"text": "t", "label": {x}}}\n' for x in part)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    files = [f"--{name}={tmp_path}/{name}.jsonl" for name in ("train", "test")]
    return ["vectors", "classify", "--vectors", f"{tmp_path}/d.safetensors", *files, "--json"]


def test_documents_are_classified(tmp_path, capsys):
    assert main(labelled(tmp_path, np.tile([1, -1, -1, 1], 20))) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["train"], found["test"], found["width"]) == (40, 40, 3)
    assert found["error in percent"] < 5


def test_documents_whose_labels_stand_in_blocks_are_warned_of(tmp_path, capsys):
    assert main(labelled(tmp_path, np.tile(np.repeat([1, -1], 20), 2))) == 0
    assert "lm: warning: equal labels are adjacent" in capsys.readouterr().err


def test_more_labels_than_documents_are_refused(tmp_path, capsys):
    words = labelled(tmp_path, np.tile([1, -1], 20))
    words[-2] = words[-3].replace("--train", "--test")
    (tmp_path / "train.jsonl").write_text('{"label": 1}\n{"label": 0}\n' * 11)
    assert main(words) == 1
    assert "d.safetensors: 40 documents, but 44 labels" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["words.bin", "words.txt"])
def test_formats_are_converted(name, file, tmp_path):
    words = ["vectors", "convert", f"--vectors={file}", f"--output={tmp_path / name}"]
    assert main(words) == 0
    again = ["vectors", "convert", f"--vectors={tmp_path / name}"]
    assert main([*again, f"--output={tmp_path}/again.safetensors"]) == 0
    found = KeyedVectors.load(tmp_path / "again.safetensors")
    np.testing.assert_array_equal(found["queen"], WORDS["queen"].astype("float32"))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nearest", "--vectors=no.csv", "king"], 2, "give a name ending in .safetensors"),
        (["nearest", "--vectors=no.bin", "king"], 1, "no.bin: no such run folder or file"),
    ],
)
def test_what_is_no_vectors_is_one_line(words, code, message, capsys):
    assert main(["vectors", *words]) == code
    assert message in capsys.readouterr().err
