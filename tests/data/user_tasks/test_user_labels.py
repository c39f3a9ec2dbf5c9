"""A user's own table as a classification task: labels found, bad rows named, weights."""

import functools

import pytest
import seqio

from lm.data.batching import stream
from lm.data.preprocessing import text_pairs
from lm.data.registry import class_weights, task_registry
from lm.data.registry.answers import label_names, num_labels
from lm.data.storage import token_store
from lm.data.user_tasks import user, user_labels
from lm.errors import UserError
from tests.user_names import free

LABELS = ["spam", "ham", "ham", "ham"]
MADE = "user_labels", "user_scores", "turned"


@pytest.fixture(autouse=True)
def free_names():
    """Names are free before and after a test."""
    free(*MADE)
    yield
    free(*MADE)


def table(path, rows, header="text\tlabel"):
    """Writes a table and returns its path."""
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def numbered(labels):
    """Rows of these labels."""
    return [f"text {n}\t{label}" for n, label in enumerate(labels)]


def examples(name, split="train", length=16):
    """The examples as the task makes them."""
    task = task_registry.get(name)
    found = stream.preprocess(
        task,
        token_store.examples(task, split),
        stream.Steps({"inputs": length}),
    )
    return list(found.as_numpy_iterator())


def test_labels_are_found_in_the_order_of_the_alphabet(tmp_path):
    rows = numbered(LABELS)
    name = user_labels.classification_task(train=table(tmp_path / "a.tsv", rows))
    assert name == user_labels.classification_task(train=tmp_path / "a.tsv") == "user_labels"
    assert label_names(task_registry.get(name)) == ("ham", "spam")
    assert num_labels(task=name) == 2
    assert [int(example["label"]) for example in examples(name)] == [1, 0, 0, 0]


def test_numbers_are_labels_in_their_own_order_in_json_too(tmp_path):
    lines = [f'{{"text": "t{n}", "label": {n % 3 * 5}}}' for n in range(6)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    name = user_labels.classification_task(train=tmp_path / "a.jsonl")
    assert label_names(task_registry.get(name)) == ("0", "5", "10")
    assert [int(example["label"]) for example in examples(name)] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("row", "defect"),
    [
        ("new\tegg", "unknown label 'egg' (the labels are ham, spam)"),
        ("new\t", "unknown label '' (the labels are ham, spam)"),
        (" \tham", "empty text (column 'text')"),
        ("new", "missing column (1 cells, 2 columns)"),
    ],
)
def test_a_bad_row_is_named_or_skipped(tmp_path, caplog, row, defect):
    files = {
        "train": table(tmp_path / "a.tsv", numbered(LABELS)),
        "validation": table(tmp_path / "b.tsv", ["old\tham", row]),
    }
    name = user_labels.classification_task(**files)
    with pytest.raises(UserError) as found:
        examples(name, "validation")
    assert str(found.value).startswith(f"{tmp_path}/b.tsv:3: {defect}; repair it; a task skips")
    seqio.TaskRegistry.remove(name)
    user._SPECS.clear()
    user_labels.classification_task(**files, on_error="skip")
    assert len(examples(name, "validation")) == 1
    assert f"1 × {defect.partition(' (')[0].partition(' ' + chr(39))[0]}" in caplog.text


def test_a_changed_set_of_labels_reads_the_other_splits_again(tmp_path):
    """The cache of a split remembers which labels it was checked with."""
    validation = table(tmp_path / "b.tsv", ["old\tham"])
    for labels in (LABELS, ["ham", "egg", "egg", "egg"]):
        train = table(tmp_path / "a.tsv", numbered(labels))
        name = user_labels.classification_task(train=train, validation=validation)
        found = int(examples(name, "validation")[0]["label"])
        assert label_names(task_registry.get(name))[found] == "ham"
        seqio.TaskRegistry.remove(name)
        user._SPECS.clear()


@pytest.mark.parametrize(
    ("labels", "what"),
    [(["a"] * 4, "1 different labels in 4 rows"), (list("abcd"), "4 different labels in 4 rows")],
)
def test_a_column_that_is_no_label_is_refused(tmp_path, labels, what):
    rows = numbered(labels)
    name = user_labels.classification_task(train=table(tmp_path / "a.tsv", rows))
    with pytest.raises(UserError, match=what):
        num_labels(task=name)


def test_a_rare_label_is_reported_and_weighted(tmp_path, caplog):
    rows = [f"text {n}\t{'rare' if n == 0 else 'often'}" for n in range(20)]
    name = user_labels.classification_task(train=table(tmp_path / "a.tsv", rows))
    assert class_weights.balanced(task=name) == pytest.approx([20 / 38, 10.0])
    assert "label 'rare' has 1 of 20 training rows, the most frequent one 19" in caplog.text
    with pytest.raises(UserError, match="has no split 'test'"):
        class_weights.balanced(task=name, split="test")


def test_pairs_and_scores(tmp_path):
    rows = ["a\tbb\t0.5", "ccc\td\t-2"]
    path = table(tmp_path / "a.tsv", rows, header="one\tother\tscore")
    name = user_labels.regression_task(train=path, texts=["one", "other"])
    first, second = examples(name)
    assert float(first["score"]), float(second["score"]) == (0.5, -2.0)
    assert first["token_types"].tolist() == [0, 0, 0, 1, 1, 1]
    table(path, ["a\tbb\tx"], header="one\tother\tscore")
    seqio.TaskRegistry.remove(name)
    user._SPECS.clear()
    user_labels.regression_task(train=path, texts=["one", "other"])
    with pytest.raises(UserError, match=r"a\.tsv:2: not a number 'x'"):
        examples(name)


def test_rows_that_are_cut_are_counted(tmp_path, caplog):
    rows = ["abc\tdef\tx", "a\tb\tx", "a\tb\ty", "abcd\tdef\ty"]
    path = table(tmp_path / "a.tsv", rows, header="one\tother\tlabel")
    for join in (text_pairs.join, functools.partial(text_pairs.join, cut=text_pairs.cut_first)):
        name = user_labels.classification_task(train=path, texts=["one", "other"], join=join)
        stream.endless(
            task_registry.get(name), "train", stream.Steps({"inputs": 9}, trims=["inputs"])
        )
        assert "1 of 4 (25.0 %) inputs are longer than 9 and truncated" in caplog.text
        caplog.clear()
        seqio.TaskRegistry.remove(name)
        user._SPECS.clear()


def test_three_texts_and_mixed_files_are_refused(tmp_path):
    path = table(tmp_path / "a.tsv", ["a\tb\tc\td"], header="a\tb\tc\tlabel")
    with pytest.raises(UserError, match="3 columns of text; a row takes one or two"):
        user_labels.classification_task(train=path, texts=["a", "b", "c"])
    with pytest.raises(UserError, match=r"some of the tables are \.jsonl and some are not"):
        user_labels.classification_task(train=path, validation="b.jsonl")


def test_a_task_joined_in_another_way(tmp_path):
    rows = numbered(LABELS)
    name = user_labels.classification_task(train=table(tmp_path / "a.tsv", rows))
    turned = user_labels.rejoined(name="turned", task=name, join=text_pairs.join_cls_last)
    (first, *_), (other, *_) = examples(name), examples(turned)
    assert other["inputs"].tolist() == [*first["inputs"][1:], first["inputs"][0]]
    assert other["token_types"].tolist()[-1] == 2
    with pytest.raises(UserError, match="eutrans_es_en does not join texts"):
        user_labels.rejoined(name="no", task="eutrans_es_en", join=text_pairs.join)


def test_several_labels_a_row(tmp_path):
    rows = ["one\tb, a", "two\t", "three\ta", "four\tb"]
    path = table(tmp_path / "a.tsv", rows, header="text\tlabels")
    name = user_labels.label_sets_task(name="user_labels", train=path)
    assert label_names(task_registry.get(name)) == ("a", "b")
    assert num_labels(task=name) == 2
    assert [e["label_set"].tolist() for e in examples(name)] == [[1, 1], [0, 0], [1, 0], [0, 1]]
    test = table(tmp_path / "b.tsv", ["five\ta,c"], header="text\tlabels")
    seqio.TaskRegistry.remove(name)
    user._SPECS.clear()
    user_labels.label_sets_task(name="user_labels", train=path, validation=test)
    with pytest.raises(UserError, match=r"b\.tsv:2: unknown label 'c' \(the labels are a, b\)"):
        examples(name, "validation")
