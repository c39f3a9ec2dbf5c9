"""The tasks of local data sets: counts, alignment, what stands in them."""

import gzip

import pytest

pytest.importorskip("seqio")
import seqio

from lm.data.storage import sources
from lm.errors import UserError
from tasks import eutrans, multi30k, novels_dev, tinyshakespeare, wikitext2_eval  # noqa: F401
from tasks.support.local_data import DataSet


def _texts(name: str, split: str, feature: str = "targets") -> list[str]:
    dataset = seqio.get_mixture_or_task(name).get_dataset(None, split, shuffle=False)
    key = f"{feature}_pretokenized"
    return [example[key].decode() for example in dataset.take(100).as_numpy_iterator()]


def test_tiny_shakespeare_is_cut_at_nine_tenths(data_dir):
    (train,), (validation,) = (_texts("tinyshakespeare", s) for s in ("train", "validation"))
    assert (len(train), len(validation)) == (1_003_854, 111_540)
    whole = (data_dir / "tinyshakespeare" / "input.txt").read_text("utf-8")
    assert train + validation == whole
    assert "".join(sorted(set(whole))) == tinyshakespeare.CHARACTERS


def test_tiny_shakespeare_by_characters_has_no_unknown_and_no_end(data_dir):
    task = seqio.TaskRegistry.get("tinyshakespeare_char")
    example = next(task.get_dataset(None, "validation", shuffle=False).as_numpy_iterator())
    vocabulary = task.output_features["targets"].vocabulary
    assert vocabulary.vocab_size == 68
    assert len(example["targets"]) == 111_540
    assert example["targets"].min() == 3 and example["targets"].max() == 67
    assert vocabulary.decode(example["targets"]) == example["targets_pretokenized"].decode()


@pytest.mark.parametrize(
    ("split", "articles", "words"), [("validation", 60, 217_646), ("test", 62, 245_569)]
)
def test_wikitext_counts_every_word_and_line_end(data_dir, split, articles, words):
    dataset = seqio.TaskRegistry.get("wikitext2_eval").get_dataset(None, split, shuffle=False)
    examples = list(dataset.as_numpy_iterator())
    assert len(examples) == articles
    assert sum(int(example["words"]) for example in examples) == words
    name = {"validation": "valid", "test": "test"}[split]
    raw = gzip.decompress((data_dir / "wikitext2_eval" / f"{name}.txt.gz").read_bytes())
    assert b"".join(example["targets_pretokenized"] for example in examples) == raw


@pytest.mark.parametrize(("split", "books"), [("train", 11), ("validation", 1), ("test", 1)])
def test_novels_are_whole_books(data_dir, split, books):
    texts = _texts("novels_dev", split)
    assert len(texts) == books
    assert min(map(len, texts)) > 200_000


@pytest.mark.parametrize(
    ("split", "count"), [("train", 29_000), ("validation", 1014), ("test", 1000)]
)
def test_multi30k_counts(data_dir, split, count):
    for source, target in multi30k.DIRECTIONS:
        task = seqio.TaskRegistry.get(f"multi30k_{source}{target}")
        assert task.num_input_examples(split) == count


def test_multi30k_is_aligned_in_all_directions(data_dir):
    sides = {
        code: (data_dir / "multi30k" / f"val.{code}.txt").read_text("utf-8").splitlines()[:100]
        for code in multi30k.LANGUAGES
    }
    for source, target in multi30k.DIRECTIONS:
        name = f"multi30k_{source}{target}"
        assert _texts(name, "validation", "inputs") == sides[source]
        assert _texts(name, "validation") == sides[target]


def test_the_mixture_says_the_direction(data_dir):
    mixture = seqio.MixtureRegistry.get("multi30k_all")
    assert [mixture.get_rate(task) for task in mixture.tasks] == [1.0] * 6
    first = _texts("multi30k_defr_prefix", "test", "inputs")[0]
    assert first.startswith("translate German to French: Ein Mann")


def test_eutrans_counts_and_directions(data_dir):
    task = seqio.TaskRegistry.get("eutrans_es_en")
    counts = [task.num_input_examples(split) for split in ("train", "validation", "test")]
    assert counts == [9900, 100, 2996]
    assert _texts("eutrans_es_en", "validation") == _texts("eutrans_en_es", "validation", "inputs")


def test_a_missing_file_is_one_line_that_says_where_to_get_and_put_it(monkeypatch, tmp_path):
    monkeypatch.setenv("LM_DATA_DIR", str(tmp_path))
    data_set = DataSet("eutrans_es_en", origin="github.com/lvapeab/nmt-keras")
    source = sources.text_source({"train": data_set.file("train.es.txt")})
    with pytest.raises(UserError) as found:
        source.num_input_examples("train")
    file = tmp_path / "eutrans_es_en" / "train.es.txt"
    assert f"no file {file}; get it from github.com/lvapeab/nmt-keras and put it" in str(
        found.value
    )
    assert "set LM_DATA_DIR" in str(found.value)


def test_passages_of_a_novel_are_the_novel(data_dir):
    del data_dir
    whole, passages = (
        "".join(_texts(name, "validation")) for name in ("novels_dev", "novels_dev_passages")
    )
    assert passages and whole.startswith(passages)
    assert all(
        novels_dev.PASSAGE <= len(text) < 10 * novels_dev.PASSAGE and text.endswith("\n\n")
        for text in _texts("novels_dev_passages", "validation")
    )
