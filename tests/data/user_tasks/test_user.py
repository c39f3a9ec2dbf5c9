"""A user's own files as a task in two lines, and own mixtures."""

import pytest
import seqio

from lm.data.batching import pipeline
from lm.data.evaluation.metrics import bleu
from lm.data.rows import features
from lm.data.storage import readers
from lm.data.user_tasks import user
from lm.errors import UserError
from tests.data import toy


def next_texts(name, converter, lengths, split="train"):
    """The target texts of the first batch."""
    made = pipeline.evaluation_batches(
        mixture_or_task_name=name, split=split, lengths=lengths, converter=converter, batch_size=8
    )
    return [toy.text(row) for row in next(iter(made))["decoder_target_tokens"] if row.any()]


@pytest.fixture(autouse=True)
def free_names():
    """Names of earlier tests are free again."""
    for name in ("user_text", "user_tsv", "user_jsonl"):
        seqio.TaskRegistry.remove(name)
    seqio.MixtureRegistry.remove("user_mixture")
    user._SPECS.clear()


def test_text_files(tmp_path):
    """Lines by default; calling again with the same arguments is the same task."""
    (tmp_path / "a.txt").write_text("one\ntwo\n\nthree\n")
    path = str(tmp_path / "*.txt")
    name = user.text_task(train=path, on_error="skip")
    assert name == user.text_task(train=path, on_error="skip") == "user_text"
    assert next_texts(name, features.LanguageModel, {"targets": 8}) == ["one", "two", "three"]
    with pytest.raises(UserError, match="the name 'user_text' is taken"):
        user.text_task(train=path)


def test_documents_and_held_out(tmp_path):
    """Another reader, another example; a share of them becomes the validation split."""
    (tmp_path / "a.txt").write_text("one\n\n" * 3 + "".join(f"line {n}\n\n" for n in range(50)))
    name = user.text_task(train=tmp_path / "a.txt", reader=readers.read_paragraphs, held_out=0.3)
    both = [
        len(pipeline.evaluation_batches(
            mixture_or_task_name=name, split=split, lengths={"targets": 8},
            converter=features.LanguageModel, batch_size=8,
        ).examples)
        for split in ("train", "validation")
    ]  # fmt: skip
    assert sum(both) == 53
    assert min(both) > 5
    with pytest.raises(UserError, match="give one of the two"):
        user.text_task(name="x", train="a", validation="b", held_out=0.1)


def test_tsv_and_jsonl(tmp_path):
    """Columns and fields by name, metrics for the evaluation."""
    (tmp_path / "a.tsv").write_text("src\ttgt\nein Hund\ta dog\n")
    (tmp_path / "a.jsonl").write_text('{"q": "why", "a": "so"}\n')
    lengths = {"inputs": 16, "targets": 16}
    table = user.tsv_task(train=tmp_path / "a.tsv", inputs="src", targets="tgt", metrics=[bleu])
    assert next_texts(table, features.EncoderDecoder, lengths) == ["a dog"]
    assert seqio.TaskRegistry.get(table).metric_fns == [bleu]
    objects = user.jsonl_task(train=tmp_path / "a.jsonl", inputs="q", targets="a")
    assert next_texts(objects, features.EncoderDecoder, lengths) == ["so"]


def test_a_mixture_with_temperature_and_cap(tmp_path):
    """min(r, maximum)^(1/T) of 40 and 10 examples."""
    for name, count in (("many", 40), ("few", 10)):
        (tmp_path / name).write_text("".join(f"{name} {n}\n" for n in range(count)))
        seqio.TaskRegistry.remove(name)
        user.text_task(name=name, train=tmp_path / name)
    mixture = user.mixture(tasks=["few", "many"], temperature=2.0, maximum=36)
    assert user.mixture(tasks=["few", "many"], temperature=2.0, maximum=36) == mixture
    rates = [seqio.MixtureRegistry.get(mixture).get_rate(t) for t in seqio.get_subtasks(
        seqio.MixtureRegistry.get(mixture))]  # fmt: skip
    assert rates == pytest.approx([10**0.5, 6.0])
    given = user.mixture(name="user_given", tasks={"few": 3.0, "many": 1.0})
    assert seqio.MixtureRegistry.get(given).total_rate == pytest.approx(4.0)
    with pytest.raises(UserError, match="did you mean 'many'"):
        user.mixture(name="y", tasks=["manny"])


def test_a_json_value_that_is_no_text_is_named_or_skipped(tmp_path, caplog):
    """By file and line, like every other defect."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": null}\n{"text": "one"}\n{"text": 2}\n{"text": ["three"]}\n')
    name = user.jsonl_task(name="user_strict", train=path)
    with pytest.raises(UserError, match=r"a\.jsonl:1: not text \(field 'text' is null\)"):
        next_texts(name, features.LanguageModel, {"targets": 8})
    name = user.jsonl_task(name="user_lenient", train=path, on_error="skip")
    assert next_texts(name, features.LanguageModel, {"targets": 8}) == ["one"]
    assert f"3 × not text (first {path}:1)" in caplog.text


def test_the_same_file_by_another_path_is_the_same_data(tmp_path, monkeypatch):
    """What a run remembers of its data says nothing of folders."""
    (tmp_path / "below").mkdir()
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    found = []
    for folder, path in ((tmp_path, "a.txt"), (tmp_path / "below", "../a.txt")):
        monkeypatch.chdir(folder)
        task = seqio.get_mixture_or_task(user.text_task(train=path))
        found.append(pipeline.task_fingerprint(task, "train"))
        seqio.TaskRegistry.remove("user_text")
        user._SPECS.clear()
    assert found[0] == found[1]
