"""Classification tasks of tables: counts, labels, both forms, bad rows."""

import importlib
from collections import Counter

import pytest

pytest.importorskip("seqio")
import seqio

from lm.data.batching import stream
from lm.data.registry import task_registry
from lm.data.registry.answers import label_names, num_labels
from lm.data.storage import token_store
from lm.errors import UserError
from tasks.support import classification
from tasks.support.local_data import DataSet

MODULES = (
    "ag_news", "cb", "cola", "cr", "dbpedia14k", "imdb", "mnli", "mr", "mrpc", "rte", "sick",
    "snli", "sst", "stsb", "trec", "tweeteval", "wnli",
)  # fmt: skip
SIZES = {
    "ag_news": {"train": 5925, "validation": 675, "test": 1000},
    "cb": {"train": 250, "validation": 56},
    "cola": {"train": 8551, "validation": 1043},
    "cr": {"train": 3018, "validation": 377, "test": 376},
    "mrpc": {"train": 3576, "validation": 500, "test": 1725},
    "rte": {"train": 2490, "validation": 277},
    "sick": {"train": 4500, "validation": 500, "test": 4927},
    "sst2": {"train": 6920, "validation": 872, "test": 1821},
    "sst5": {"train": 8544, "validation": 1101, "test": 2210},
    "stsb": {"train": 5749, "validation": 1500, "test": 1379},
    "trec": {"validation": 552, "test": 500},
    "tweeteval_offensive": {"train": 11916, "validation": 1324, "test": 860},
    "wnli": {"train": 635, "validation": 71},
}
LABELS = {
    "ag_news": ("world", "sports", "business", "science"),
    "cola": ("unacceptable", "acceptable"),
    "mnli": ("entailment", "neutral", "contradiction"),
    "rte": ("entailment", "not_entailment"),
    "sick": ("entailment", "neutral", "contradiction"),
    "sst2": ("negative", "positive"),
}
# First example of the text-to-text form, as T5's release words it: split, inputs, targets.
TEXTS = {
    "sst2": (
        "validation",
        "sst2 sentence: It 's a lovely film with lovely performances by Buy and Accorsi .",
        "positive",
    ),
    "cola": (
        "validation",
        "cola sentence: The sailors rode the breeze clear of the rocks.",
        "acceptable",
    ),
    "mnli": (
        "test",
        "mnli hypothesis: The Government Executive articles housed on the website are not able to "
        "be searched. premise: This site includes a list of all award winners and a searchable "
        "database of Government Executive articles.",
        "contradiction",
    ),
    "stsb": (
        "validation",
        "stsb sentence1: A man with a hard hat is dancing. sentence2: A man wearing a hard hat is "
        "dancing.",
        "5.0",
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _registered():
    for module in MODULES:
        importlib.import_module(f"tasks.{module}")


def examples(name: str, split: str, *, lengths=None, count=-1) -> list[dict]:
    """The first examples as the task makes them."""
    task = task_registry.get(name)
    made = stream.preprocess(
        task,
        token_store.examples(task, split).take(count),
        stream.Steps(lengths or {"inputs": 64, "targets": 64}),
    )
    return list(made.as_numpy_iterator())


@pytest.mark.parametrize("name", SIZES)
def test_sizes(data_dir, name):
    source = task_registry.get(name).source
    assert {split: source.num_input_examples(split) for split in SIZES[name]} == SIZES[name]


@pytest.mark.parametrize("name", LABELS)
def test_labels_have_names(data_dir, name):
    task = task_registry.get(name)
    assert label_names(task) == LABELS[name]
    assert num_labels(task=name) == len(LABELS[name])


def test_a_score_is_one_number_and_has_no_names(data_dir):
    assert num_labels(task="stsb") == 1
    first = examples("stsb", "validation", count=2)
    assert [float(example["score"]) for example in first] == [5.0, 4.75]
    with pytest.raises(UserError, match="stsb has no labels; its features are inputs, score"):
        label_names(task_registry.get("stsb"))


@pytest.mark.parametrize("name", TEXTS)
def test_text_form_is_that_of_t5(data_dir, name):
    split, inputs, targets = TEXTS[name]
    (first,) = examples(f"{name}_text", split, count=1)
    assert first["inputs_pretokenized"].decode() == inputs
    assert first["targets_pretokenized"].decode() == targets
    assert first["targets"][-1] == 1


def test_both_forms_agree(data_dir):
    names = label_names(task_registry.get("sick"))
    labels = [names[example["label"]] for example in examples("sick", "validation")]
    texts = [e["targets_pretokenized"].decode() for e in examples("sick_text", "validation")]
    assert labels == texts
    assert Counter(texts) == {"contradiction": 74, "entailment": 144, "neutral": 282}


def test_a_score_is_rounded_to_a_fifth_half_to_even(data_dir):
    task = task_registry.get("stsb_text")
    scores = [e["targets_pretokenized"].decode() for e in examples("stsb_text", "train")]
    assert set(scores) <= {f"{tenth / 10:.1f}" for tenth in range(0, 51, 2)}
    written = [e["score_pretokenized"].decode() for e in examples("stsb", "train")]
    pairs = dict(zip(written, scores, strict=True))
    assert (pairs["2.500"], pairs["3.250"], pairs["4.750"]) == ("2.4", "3.2", "4.8")
    assert [task.postprocess_fn(text) for text in ("3.2", "three", "nan")] == [3.2, -1, -1]


def test_answers_in_text_become_ids_again():
    postprocess = task_registry.get("mnli_text").postprocess_fn
    assert [postprocess(text) for text in ("neutral", "Neutral", "")] == [1, -1, -1]


def test_a_pair_is_joined_with_types(data_dir):
    (first,) = examples("snli", "test", count=1)
    assert len(first["inputs"]) == len(first["token_types"]) == 64
    ids = first["inputs"].tolist()
    assert ids[0] == 357 and ids[-1] == 356 and ids.count(356) == 2
    assert first["token_types"].tolist().index(1) == ids.index(356) + 1
    assert first["inputs_pretokenized"].decode().count("\t") == 1


def test_imdb_splits_share_no_text_by_content(data_dir):
    task = task_registry.get("imdb")
    texts = [example["text"] for example in task.source.examples["validation"]()]
    assert 2300 < len(texts) < 2700
    assert not set(texts) & {example["text"] for example in task.source.examples["train"]()}


def test_a_label_that_the_task_does_not_have_is_named_by_file_and_line(monkeypatch, tmp_path):
    monkeypatch.setenv("LM_DATA_DIR", str(tmp_path))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "data.tsv").write_text("label\ttext\n0\tgood\n2\tbad\n1\t \n")
    seqio.TaskRegistry.remove("toy_labels")
    classification.add_table(
        "toy_labels",
        {"train": DataSet("toy", origin="nowhere").file("data.tsv")},
        texts={"sentence": "text"},
        answer=classification.numbered("yes", "no"),
    )
    with pytest.raises(UserError, match=r"data\.tsv:3: unknown label '2' \(the labels are 0, 1\)"):
        task_registry.get("toy_labels").source.num_input_examples("train")
