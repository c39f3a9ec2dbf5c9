"""Where FLAN's examples come from: limits, and validation that is cut from training."""

import json

import pytest

pytest.importorskip("seqio")

from tasks.flan.data_set import DataSet, data_sets
from tasks.flan.origin import Origin
from tasks.flan.template import Template


def origin_of(folder, monkeypatch, splits, **more):
    """The origin of a data set with local files, from the pairs of text and label of each split."""
    for name, pairs in splits.items():
        lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in pairs]
        (folder / "toy").mkdir(exist_ok=True)
        (folder / "toy" / f"{name}.jsonl").write_text("".join(lines))
    monkeypatch.setenv("LM_DATA_DIR", str(folder))
    local = {name: f"toy/{name}.jsonl" for name in splits}
    settings = {"local": local, "columns": {"text": "text"}, "options": tuple("ab")}
    return Origin(DataSet("toy", (Template("{text}"),), **settings, **more))


def test_only_training_examples_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.flan.origin.MOST_EXAMPLES", 3)
    pairs = [(f"row {number}", 0) for number in range(5)]
    found = origin_of(tmp_path, monkeypatch, dict.fromkeys(("train", "validation", "test"), pairs))
    assert [len(found.examples(split)) for split in found.splits] == [3, 5, 5]


def test_examples_on_one_passage_stay_together_and_validation_is_never_empty(tmp_path, monkeypatch):
    pairs = [(f"passage {number % 12}", number // 12 % 2) for number in range(24)]
    origin = origin_of(tmp_path, monkeypatch, {"train": pairs}, passage="text")
    train, validation = (origin.examples(split) for split in ("train", "validation"))
    assert (len(train), len(validation)) == (22, 2)
    texts = [{example.texts["text"] for example in part} for part in (train, validation)]
    assert not texts[0] & texts[1]
    few = origin_of(tmp_path, monkeypatch, {"train": pairs[:5]})
    assert [len(few.examples(split)) for split in ("train", "validation", "all")] == [4, 1, 5]


def test_splits_are_disjoint_and_small_sets_keep_examples(data_dir):
    origin = Origin(data_sets()["cb"])
    train, validation = (origin.examples(split) for split in ("train", "validation"))
    assert (len(train), len(validation)) == (225, 25)
    assert not {example.texts["premise"] + example.texts["hypothesis"] for example in train} & {
        example.texts["premise"] + example.texts["hypothesis"] for example in validation
    }
