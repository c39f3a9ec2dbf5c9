"""Sources over the record cache: lazy, written once, rebuilt on change, damage noticed."""

import numpy as np
import pytest

from lm.data.storage import lines, record_cache, sources
from lm.data.storage.files import publish, read_manifest, verify
from lm.errors import UserError


def texts(source, split="train", feature="text"):
    """The texts of a source's split."""
    return [x[feature].decode() for x in source.get_dataset(split).as_numpy_iterator()]


def test_nothing_is_read_before_the_first_use(cache):
    """A task over files that do not exist can be registered."""
    source = sources.text_source({"train": "nowhere.txt"})
    assert source.splits == ("train",)
    assert not cache.exists()
    with pytest.raises(UserError, match="no file matches 'nowhere"):
        source.num_input_examples("train")


def test_files_are_parsed_once(tmp_path, monkeypatch):
    """The second source over the same files reads the cache alone."""
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\n")
    first = sources.text_source({"train": path})
    assert (texts(first), first.num_input_examples("train")) == (["one", "two"], 2)
    monkeypatch.setattr(lines, "lines", None)
    assert texts(sources.text_source({"train": path})) == ["one", "two"]


def test_a_changed_file_is_noticed(tmp_path):
    """Also when its size and time stay the same."""
    path = tmp_path / "a.txt"
    path.write_text("one\n")
    assert texts(sources.text_source({"train": path})) == ["one"]
    path.write_text("two\n")
    assert texts(sources.text_source({"train": path})) == ["two"]


def test_all_kinds_of_features_come_back():
    """Text, numbers and lists of them, also an empty list."""
    rows = [
        {"s": "ü", "i": 3, "f": 0.5, "l": ["a", "b"], "n": [1, 2], "e": []},
        {"s": "", "i": -1, "f": 2.0, "l": ["c"], "n": [4], "e": []},
    ]
    source = sources.examples_source("kinds", {"train": lambda: rows}, fingerprint=dict)
    found = list(source.get_dataset("train").as_numpy_iterator())
    assert found[0]["s"].decode() == "ü"
    assert [x["i"] for x in found] == [3, -1]
    assert [x["f"] for x in found] == [0.5, 2.0]
    assert found[0]["l"].tolist() == [b"a", b"b"]
    np.testing.assert_array_equal(found[0]["n"], [1, 2])
    assert [len(x["e"]) for x in found] == [0, 0]


def test_examples_with_other_features_are_refused_and_nothing_is_left(cache):
    """The message says which; a half-written cache never appears."""
    source = sources.examples_source(
        "bad", {"train": lambda: [{"a": "x"}, {"b": "x"}]}, fingerprint=dict
    )
    with pytest.raises(UserError, match="example 2 has features"):
        source.num_input_examples("train")
    assert not list(cache.rglob("*.tfrecord"))


def test_no_examples_is_an_error():
    """All lines skipped is as bad as none."""
    source = sources.examples_source("none", {"train": list}, fingerprint=dict)
    with pytest.raises(UserError, match="none-train: no examples"):
        source.num_input_examples("train")


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_cut_cache_file_is_noticed_and_named(tmp_path, cache, kept):
    """TensorFlow alone would read a shorter data set without a word."""
    path = tmp_path / "a.txt"
    path.write_text("one line\n" * 100)
    source = sources.text_source({"train": path})
    assert source.num_input_examples("train") == 100
    (file,) = cache.rglob(record_cache.RECORDS)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * kept)])
    with pytest.raises(UserError, match=r"examples\.tfrecord: damaged cache file .* delete"):
        texts(source)


def test_parallel_and_tables(tmp_path):
    """Columns become features; functions as paths are asked at the first use."""
    (tmp_path / "en").write_text("one\n")
    (tmp_path / "de").write_text("eins\n")
    (tmp_path / "t.tsv").write_text("a\tb\n1\t2\n")
    (tmp_path / "j.jsonl").write_text('{"q": "x", "n": [1]}\n')
    pair = {"en": lambda: tmp_path / "en", "de": tmp_path / "de"}
    parallel = sources.parallel_source({"train": pair})
    assert texts(parallel, feature="de") == ["eins"]
    assert texts(sources.tsv_source({"train": tmp_path / "t.tsv"}), feature="b") == ["2"]
    table = sources.jsonl_source({"train": tmp_path / "j.jsonl"}, fields=["q"])
    assert texts(table, feature="q") == ["x"]


def test_held_out_examples_go_by_content(tmp_path):
    """Equal texts stay on one side, both sides together are all, and it is stable."""
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line {n % 300}\n" for n in range(600)))
    source = sources.held_out(sources.text_source({"train": path}), 0.2)
    train, held = texts(source), texts(source, "validation")
    assert len(train) + len(held) == 600
    assert not set(train) & set(held)
    assert 30 <= len(set(held)) <= 90
    assert texts(sources.held_out(sources.text_source({"train": path}), 0.2)) == train
    with pytest.raises(UserError, match=r"held_out=1\.5"):
        sources.held_out(source, 1.5)


def test_skipped_lines_are_reported_once(tmp_path, caplog):
    """With their count and first place, when the cache is written."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\n\n\xff\n")
    assert texts(sources.text_source({"train": path}, on_error="skip")) == ["one"]
    assert "1 × empty line" in caplog.text
    assert "1 × invalid UTF-8" in caplog.text


def test_splits_of_the_same_files_report_them_once(tmp_path, caplog):
    (tmp_path / "a.txt").write_bytes(b"one\ntwo\nthree\nfour\nfive\n\xff\n")
    source = sources.held_out(
        sources.text_source({"train": tmp_path / "a.txt"}, on_error="skip"), 0.5
    )
    assert len(texts(source) + texts(source, "validation")) == 5
    assert caplog.text.count("1 × invalid UTF-8") == 1


def test_unknown_split():
    """It is named beside those there are."""
    source = sources.text_source({"train": "x"})
    with pytest.raises(UserError, match="no split 'dev'; it has train"):
        source.num_input_examples("dev")


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    """It names the folder and the variable that moves it."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "file"))
    source = sources.examples_source("any", {"train": lambda: [{"a": "x"}]}, fingerprint=dict)
    with pytest.raises(UserError, match=r"cannot write the cache .*set LM_CACHE_DIR"):
        source.num_input_examples("train")


def test_publish_keeps_the_first_of_two_and_nothing_of_a_failure(tmp_path):
    """A folder appears whole or not at all."""
    target = tmp_path / "made"
    for text in ("first", "second"):
        with publish(target, {"note": text}) as folder:
            (folder / "file").write_text(text)
    manifest = read_manifest(target)
    assert (manifest["note"], (target / "file").read_text()) == ("first", "first")
    with pytest.raises(RuntimeError), publish(tmp_path / "failed", {}) as folder:
        raise RuntimeError
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["made"]
    (target / "file").write_text("f1rst")
    with pytest.raises(UserError, match="file: damaged cache file"):
        verify(target, manifest)
    (target / "MANIFEST.json").write_text("{")
    with pytest.raises(UserError, match=r"MANIFEST\.json: damaged"):
        read_manifest(target)
    assert read_manifest(tmp_path / "nothing") is None
