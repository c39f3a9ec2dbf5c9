"""`lm vectors` on files of word vectors: neighbours, scores, translations, other formats."""

import json

import numpy as np
import pytest

from lm.cli.main import main
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
