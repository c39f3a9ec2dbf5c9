"""`lm show`: the three stages of a task's examples, as text and as JSON."""

import json

import numpy as np
import pytest

pytest.importorskip("seqio")
import seqio

from lm.cli import main, preview_text
from lm.data.batching.preview import Preview, piece


@pytest.fixture
def lines_task(tmp_path, monkeypatch):
    """A gin file with a task of two short lines."""
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "lines.txt").write_text("one two\nthree\n")
    gin = tmp_path / "lines.gin"
    gin.write_text(
        "# A task of two lines.\n"
        "from __gin__ import dynamic_registration\n"
        "from lm.data.rows import features\n"
        "from lm.data.rows import packing\n"
        "from lm.data.storage import readers\n"
        "from lm.data.user_tasks import user\n"
        "MIXTURE_OR_TASK_NAME = @user.text_task()\n"
        f"user.text_task.train = '{tmp_path}/lines.txt'\n"
        f"user.text_task.name = '{tmp_path.name}'\n"
        "user.text_task.reader = @readers.read_text_lines\n"
        "TASK_FEATURE_LENGTHS = {'targets': 16}\n"
        "FEATURE_CONVERTER = @features.LanguageModel\n"
        "features.LanguageModel.pack = @packing.FirstFit\n"
    )
    return str(gin)


def test_json_holds_the_three_stages(lines_task, capsys):
    assert main.main(["show", "--gin_file", lines_task, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [example["targets"] for example in found["raw"]] == ["one two", "three"]
    assert found["tokens"][1]["targets"] == [*(ord(c) + 3 for c in "three"), 1]
    assert found["vocabularies"]["targets"]["size"] == 259
    (row,) = found["rows"]
    assert row["decoder_segment_ids"] == [1] * 8 + [2] * 6 + [0] * 2


def test_a_bound_tokenizer_is_shown_without_a_note(lines_task, capsys):
    bound = ["--gin_file=quickstart.gin", "--gin_file", lines_task]
    assert main.main(["show", *bound]) == 0
    named = "targets: SentencePieceVocabulary python_docs_4k, 4,096 ids"
    assert named in capsys.readouterr().out
    assert main.main(["show", *bound, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["vocabularies"]["targets"]["kind"] == "SentencePieceVocabulary"
    assert found["notes"] == []


def test_text_shows_where_one_example_ends_and_the_next_begins(lines_task, capsys):
    assert main.main(["show", "--gin_file", lines_task]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= preview_text.WIDTH
    assert "decoder: 2 segments fill 14 of 16 positions (88%)" in lines
    assert {"  [1] one two", "  [2] three", "  [0] 2 positions of padding"} <= set(lines)
    (pieces,) = [line for line in lines if line.startswith("  decoder_target_tokens  ")]
    cells = pieces.replace("│", " │ ").split()[1:]
    assert cells == [*"␣two", "<eos>", "│", *"three", "<eos>", "│", "<pad>", "<pad>"]


def test_packed_examples_that_compete_for_experts_are_said(lines_task, capsys):
    notes = []
    for model in ([], ["--gin_file=models/moe/small_8.gin"]):
        assert main.main(["show", *model, "--gin_file", lines_task, "--json"]) == 0
        notes.append(json.loads(capsys.readouterr().out)["notes"])
    ((tokenizer,), (_, competing)) = notes
    assert tokenizer.startswith("This is the task's own tokenizer.")
    assert "moe.MixtureOfExperts.capacity_factor = 2.0: in training the exam" in competing


def test_a_task_or_a_gin_file_must_be_named(capsys):
    assert main.main(["show"]) == 2
    assert "lm: error: lm show needs a task's name" in capsys.readouterr().err


def test_an_unknown_task_names_the_nearest(capsys):
    assert main.main(["show", "python_dcs"]) == 2
    assert "did you mean 'python_docs'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "data_set"), [("lm1b", "lm1b:1.1.0"), ("glue_cola_v002", "glue/cola:1.0.0")]
)
def test_missing_downloads_name_the_command(task, data_set, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert main.main(["show", task]) == 1
    assert f"`tfds build {data_set}` fetches them" in capsys.readouterr().err


def test_a_prefix_is_told_from_its_targets():
    row = {
        "decoder_target_tokens": np.array([68, 69, 70, 1, 0]),
        "decoder_input_tokens": np.array([0, 68, 69, 70, 0]),
        "decoder_loss_weights": np.array([0.0, 0, 1, 1, 0]),
        "decoder_segment_ids": np.array([1, 1, 1, 1, 0]),
        "decoder_causal_attention": np.array([1, 1, 1, 0, 0]),
    }
    vocabularies = {"targets": seqio.ByteVocabulary()}
    found = Preview("t", "train", {"t": None}, vocabularies, raw=[], tokens=[], rows=[row])
    lines = list(preview_text.lines(found))
    assert "  [1] AB → C" in lines
    assert "t · train · examples uncounted" in lines


def test_pieces_are_visible():
    assert [piece(seqio.ByteVocabulary(), token) for token in (2, 13, 12)] == ["<unk>", "↵", "⇥"]
