"""A classifier of a toy table from the command line: trained, evaluated, and asked for labels."""

import json

import numpy as np
import pytest

import lm
from lm.cli.main import main
from lm.train.reporter import rows

TEXTS = ("a good film", "a bad film", "so fine", "so dull")
LABELS = ("pos", "neg")
TABLE = "text\tlabel\n" + "".join(f"{TEXTS[i % 4]} {i}\t{LABELS[i % 2]}\n" for i in range(40))
RUN = """\
from __gin__ import dynamic_registration

include 'runs/pretrain.gin'
include 'models/bert/base.gin'
include 'models/bert/classifier.gin'
include 'features/classification.gin'
include 'objectives/labels.gin'
include 'optim/adamw_linear.gin'
include 'data/user_table.gin'
include 'tiny.gin'

NUM_LAYERS = 1
VOCABULARY_SIZE = 359
TASK_FEATURE_LENGTHS = {'inputs': 24}
BATCH_SIZE = 8
TRAIN_STEPS = 4
EVAL_PERIOD = 2
WARMUP_STEPS = 1
"""


@pytest.fixture(scope="session")  # a name is registered once in a process
def folder(tmp_path_factory):
    """A folder with a table, a gin file and a trained run."""
    found = tmp_path_factory.mktemp("labels")
    (found / "table.tsv").write_text(TABLE)
    (found / "run.gin").write_text(RUN)
    assert main(train(found, found / "run")) == 0
    return found


def train(folder, workdir, *words):
    given = [f"--gin_file={folder}/run.gin", f"--gin.TABLE={folder}/table.tsv"]
    return ["train", *given, f"--workdir={workdir}", *words]


@pytest.fixture
def predict(folder, tmp_path, capsys):
    """Returns what `lm predict` prints for a file of some content, out and err."""

    def run(name, content, *words, code=0):
        (tmp_path / name).write_text(content)
        capsys.readouterr()
        words = [f"--input={tmp_path / name}", f"--workdir={folder}/run", *words]
        assert main(["predict", *words]) == code
        return capsys.readouterr()

    return run


def test_evaluation_in_training_has_the_metrics_of_the_task(folder):
    found = [row for row in rows(folder / "run" / "metrics.jsonl") if "task" in row]
    assert [row["step"] for row in found] == [2, 4]
    assert all(0 <= row["accuracy"] <= 100 and row["loss"] > 0 for row in found)


def test_a_line_comes_out_for_each_line(predict):
    lines = predict("in.txt", "a good film\nso dull\n").out.splitlines()
    assert lines[0].split("\t") == ["answer", "neg", "pos"]
    for line in lines[1:]:
        answer, *cells = line.split("\t")
        values = [float(cell) for cell in cells]
        assert sum(values) == pytest.approx(1, abs=2e-4)
        assert answer == ("neg", "pos")[int(np.argmax(values))]
    assert len(lines) == 3


def test_tables_and_json_lines_say_the_same(predict, folder, tmp_path):
    table = predict("in.tsv", "id\ttext\n1\ta good film\n2\tso dull\n", "--json").out
    objects = '{"text": "a good film", "id": 1}\n{"text": "so dull"}\n'
    made = tmp_path / "out.jsonl"
    assert predict("in.jsonl", objects, "--json", f"--output={made}").out == ""
    assert made.read_text() == table
    found = [json.loads(line) for line in table.splitlines()]
    assert [row["text"] for row in found] == ["a good film", "so dull"]
    python = lm.load(folder / "run").predict(["a good film", {"text": "so dull"}], batch_size=1)
    for row, prediction in zip(found, python, strict=True):
        assert row["answer"] == prediction.answer
        assert row["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-6)


def test_what_is_cut_is_reported_by_line(predict):
    found = predict("in.txt", "a film\n" + "a very long film " * 4 + "\n", "--json")
    assert [json.loads(line)["is_cut"] for line in found.out.splitlines()] == [False, True]
    assert "1 of 2 rows are longer than 24 tokens and truncated; the first is" in found.err
    assert "in.txt:2" in found.err


def test_an_ensemble_of_a_run_and_itself_says_what_the_run_says(predict, folder, capsys):
    alone = predict("in.txt", "a good film\nso dull\n").out
    assert predict("in.txt", "a good film\nso dull\n", f"--ensemble={folder}/run").out == alone


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.tsv", "text\tid\na film\t1\n \t2\n", "in.tsv:3: empty text (column 'text')"),
        ("in.tsv", "txt\na film\n", "in.tsv:1: missing column 'text'; it has txt"),
        ("in.jsonl", '{"text": "a film"}\n{"id": 1}\n', "in.jsonl:2: missing field 'text'"),
        ("in.jsonl", '{"text": ""}\n', "in.jsonl:1: empty text (column 'text')"),
        ("in.txt", "a film\n\n", "in.txt:2: empty line"),
    ],
)
def test_bad_input_is_named_by_file_and_line(predict, name, content, message):
    said = predict(name, content, code=1).err
    assert message in said
    assert said.startswith("lm: error: ")
    assert said.count("\n") == 1


def test_eval_has_a_row_for_each_label_and_a_picture(folder, capsys):
    assert main(["eval", f"--workdir={folder}/run"]) == 0
    assert "precision" in capsys.readouterr().out
    written = folder / "run/inference_eval/user_labels"
    record = json.loads((written / "user_labels-metrics.jsonl").read_text())
    counts = np.array(record["confusion"])
    assert counts.sum() == record["examples"]
    assert list(record["labels"]) == ["neg", "pos"]
    assert record["accuracy"] == pytest.approx(100 * np.trace(counts) / counts.sum())
    assert (written / "user_labels-000004-confusion.png").read_bytes().startswith(b"\x89PNG")
    examples = (written / "user_labels-000004.jsonl").read_text().splitlines()
    assert json.loads(examples[0]).keys() == {"inputs", "targets", "prediction"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gin.NUM_LABELS=3"], "the task has 2 labels (neg, pos), the model's head 3 scores"),
        (["--gin.labels.Labels.class_weights=[1.0]"], "1 class weights"),
    ],
)
def test_a_head_that_does_not_fit_the_labels_is_refused(folder, tmp_path, capsys, words, message):
    assert main(train(folder, tmp_path / "other", *words)) == 2
    assert message in capsys.readouterr().err


def test_a_label_of_no_class_is_named_by_file_and_line(folder, tmp_path, capsys):
    (tmp_path / "more.tsv").write_text("text\tlabel\na film\tpos\nthe film\tgood\n")
    words = [
        f"--gin.user_labels.classification_task.validation={tmp_path}/more.tsv",
        "--gin.user_labels.classification_task.held_out=0.0",
        "--gin.user_labels.classification_task.name=more_labels",
    ]
    assert main(train(folder, tmp_path / "other", *words)) == 1
    assert "more.tsv:3: unknown label 'good'" in capsys.readouterr().err


def test_show_names_the_label_and_shows_the_row(folder, capsys):
    assert main(["show", "user_labels", "--n=1"]) == 0
    shown = capsys.readouterr().out
    assert "label: LabelVocabulary, 2 ids" in shown
    assert "  labels      1\n  weights     1\n" in shown  # the first is positive
    assert "pos" in shown


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(folder):
    given = train(folder, "unused")[1:3]
    assert main(["verify-resume", *given, "--steps=4", "--kills=1"]) == 0


def test_a_classifier_writes_no_text(folder, capsys):
    assert main(["generate", f"--workdir={folder}/run", "--prompt=a"]) == 1
    assert "Labels generates no text: use `lm predict`" in capsys.readouterr().err
