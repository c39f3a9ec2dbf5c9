"""A user's own files as a task in two lines, and own mixtures."""

import pytest
import seqio

from lm.data.batching import pipeline, stream
from lm.data.evaluation.metrics import bleu
from lm.data.registry import task_registry
from lm.data.rows import features
from lm.data.storage import readers
from lm.data.user_tasks import user
from lm.data.vocabulary import byte_vocabulary
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
    for name in ("user_text", "user_tsv", "user_jsonl", "user_parallel"):
        seqio.TaskRegistry.remove(name)
    seqio.MixtureRegistry.remove("user_mixture")
    user._SPECS.clear()


def test_a_file_is_a_document(tmp_path):
    """One example, its line ends inside; calling again with the same arguments is the same task."""
    (tmp_path / "a.txt").write_text("one\ntwo\n\nthree\n")
    path = str(tmp_path / "*.txt")
    name = user.text_task(train=path)
    assert name == user.text_task(train=path) == "user_text"
    assert next_texts(name, features.LanguageModel, {"targets": 32}) == ["one\ntwo\n\nthree\n"]
    with pytest.raises(UserError, match="the name 'user_text' is taken"):
        user.text_task(train=path, on_error="skip")


def test_a_separator_divides_documents(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n***\n***\nthree\n")
    name = user.text_task(train=tmp_path / "a.txt", separator="***")
    lengths = {"targets": 16}
    assert next_texts(name, features.LanguageModel, lengths) == ["one\ntwo\n", "three\n"]
    with pytest.raises(UserError, match=r"bind it or text_task\.reader"):
        user.text_task(train="x", separator="***", reader=readers.read_text_lines)


def test_lines_are_a_choice(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n\nthree\n")
    name = user.text_task(train=tmp_path / "a.txt", reader=readers.read_text_lines, on_error="skip")
    assert next_texts(name, features.LanguageModel, {"targets": 8}) == ["one", "two", "three"]


def test_a_long_file_is_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "MAX_PART", 8)
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\nfour\n")
    assert list(readers.read_parts(tmp_path / "a.txt")) == ["one\ntwo\nthree\n", "four\n"]


def test_one_book_has_a_validation_split(tmp_path):
    """A share of its bytes, cut at a line; before, all of it fell on one side."""
    book = "".join(f"line {n} of a book\n" for n in range(100))
    (tmp_path / "book.txt").write_text(book)
    name = user.text_task(train=tmp_path / "book.txt", held_out=0.1)
    source = seqio.TaskRegistry.get(name).source
    held, kept = (
        [example["targets"] for example in source.examples[split]()]
        for split in ("validation", "train")
    )
    assert (len(held), len(kept), held[0] + kept[0]) == (1, 1, book)
    assert 0.09 < len(held[0]) / len(book) < 0.12


def test_many_documents_are_divided_whole(tmp_path):
    """But for the one on the border; equal texts fall on the same side."""
    texts = [f"text {n % 40}\nof two lines\n" for n in range(80)]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text)
    name = user.text_task(train=tmp_path / "*.txt", held_out=0.25)
    source = seqio.TaskRegistry.get(name).source
    held, kept = (
        [example["targets"] for example in source.examples[split]()]
        for split in ("validation", "train")
    )
    assert sum(map(len, held + kept)) == sum(map(len, texts))
    assert sum(map(len, held)) == pytest.approx(sum(map(len, texts)) / 4, rel=0.1)
    assert not {*held} & {*kept}
    with pytest.raises(UserError, match="give one of the two"):
        user.text_task(name="x", train="a", validation="b", held_out=0.1)


def test_parallel_files(tmp_path):
    (tmp_path / "a.en").write_text("a dog\ntwo cats\n")
    (tmp_path / "a.de").write_text("ein Hund\nzwei Katzen\n")
    sides = {"inputs": str(tmp_path / "a.en"), "targets": str(tmp_path / "a.de")}
    name = user.parallel_task(train=sides)
    lengths = {"inputs": 16, "targets": 16}
    assert next_texts(name, features.EncoderDecoder, lengths) == ["ein Hund", "zwei Katzen"]
    assert seqio.TaskRegistry.get(name).metric_fns == [bleu]
    with pytest.raises(UserError, match="has the sides 'inputs', 'outputs'; it takes"):
        user.parallel_task(train={"inputs": "a", "outputs": "b"})


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
        user.text_task(name=name, train=tmp_path / name, reader=readers.read_text_lines)
    mixture = user.mixture(tasks=["few", "many"], temperature=2.0, maximum=36)
    assert user.mixture(tasks=["few", "many"], temperature=2.0, maximum=36) == mixture
    rates = [seqio.MixtureRegistry.get(mixture).get_rate(t) for t in seqio.get_subtasks(
        seqio.MixtureRegistry.get(mixture))]  # fmt: skip
    assert rates == pytest.approx([10**0.5, 6.0])
    given = user.mixture(name="user_given", tasks={"few": 3.0, "many": 1.0})
    assert seqio.MixtureRegistry.get(given).total_rate == pytest.approx(4.0)
    with pytest.raises(UserError, match="did you mean 'many'"):
        user.mixture(name="y", tasks=["manny"])


@pytest.fixture
def nested(tmp_path):
    """The name of a mixture of a task and a mixture, whose task `gone` has no data."""
    for name, count in (("many", 31), ("few", 10), ("other", 5), ("gone", 1)):
        (tmp_path / name).write_text("".join(f"{name} {n}\n" for n in range(count)))
        seqio.TaskRegistry.remove(name)
        user.text_task(name=name, train=tmp_path / name, reader=readers.read_text_lines)

    def missing(split):
        raise UserError(f"no data for {split}")

    seqio.TaskRegistry.get("gone").source.require = missing
    for name in ("inner", "outer", "inner_available", "outer_available"):
        seqio.MixtureRegistry.remove(name)
    inner = user.mixture(name="inner", tasks=["few", "gone", "many"])
    return user.mixture(name="outer", tasks={inner: 3.0, "other": 1.0}, maximum=2.0)


@pytest.mark.parametrize("vocabulary", [None, byte_vocabulary()])
def test_a_mixture_of_mixtures_mixes_by_the_given_rates(nested, vocabulary):
    provider = task_registry.with_vocabulary(task_registry.get(nested), vocabulary)
    assert [task.name for task in provider.tasks] == ["few", "gone", "many", "other"]
    inner = [2 / 3 * number / 42 for number in (10, 1, 31)]  # a maximum of 2 of 2 + 1
    assert stream.rates(provider, "train") == pytest.approx([*inner, 1 / 3])
    with pytest.raises(UserError, match="'inner' is a mixture, whose rate must be given"):
        user.mixture(name="unrated", tasks=["inner", "other"])


def test_a_mixture_of_mixtures_can_leave_out_missing_data(nested):
    provider = task_registry.provider(f"{nested}_available", "train")
    assert [task.name for task in provider.tasks] == ["few", "many", "other"]
    assert stream.rates(provider, "train") == pytest.approx(
        [2 / 3 * 10 / 41, 2 / 3 * 31 / 41, 1 / 3]
    )


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
