"""`lm tokenizer`: training from flags and from the recipe, both directions, reports, errors."""

import io
import json
import re
import sys
from pathlib import Path

import pytest

from lm.cli.main import main
from lm.data.tokenizer_options import TrainerOptions

TEXT = "".join(f"the {word} house of {i} rooms\n" for i in range(80) for word in ("red", "old"))
FLAGS = ["--vocab_size=290", "--model_type=bpe", "--hard_vocab_limit=false"]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return str(path)


def tokenizer(*words):
    return main(["tokenizer", *words])


@pytest.fixture
def trained(text, tmp_path):
    assert tokenizer("train", f"--model_prefix={tmp_path}/mine", f"--input={text}", *FLAGS) == 0
    return str(tmp_path / "mine")


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_train_from_flags_then_from_its_recipe(trained, tmp_path, capsys):
    recipe = f"--gin_file={trained}/recipe.gin"
    assert tokenizer("train", recipe, f"--output_dir={tmp_path}/again") == 0
    assert any("from 160 of 160 sentences" in line for line in lines(capsys))
    for path in Path(trained).iterdir():
        assert (tmp_path / "again" / "mine" / path.name).read_bytes() == path.read_bytes()


def test_a_binding_changes_the_recipe(trained, tmp_path, capsys):
    binding = "--gin.tokenizer_options.TrainerOptions.vocab_size=285"
    out = f"--output_dir={tmp_path}/small"
    assert tokenizer("train", f"--gin_file={trained}/recipe.gin", out, binding) == 0
    printed = lines(capsys)
    assert any("285 pieces" in line and "left out: none" in line for line in printed)
    assert "  VOCABULARY_SIZE = 385" in printed
    assert (
        f"  vocabulary.sentencepiece_vocabulary.name_or_path = '{tmp_path}/small/mine'" in printed
    )


def test_train_from_a_task_names_its_module_and_python(tmp_path, capsys):
    assert (
        tokenizer(
            "train",
            "--name=docs",
            f"--output_dir={tmp_path}",
            "--task=python_docs",
            "--split=validation",
            "--vocab_size=400",
            "--input_sentence_size=500",
            "--model_type=bpe",
        )
        == 0
    )
    recipe = (tmp_path / "docs" / "recipe.gin").read_text()
    assert "\nfrom tasks import python_docs\n" in recipe
    assert f"'python': '{sys.version.split()[0]}'" in recipe


def test_encode_and_decode_are_inverse(trained, capsys):
    capsys.readouterr()
    assert tokenizer("encode", f"--tokenizer={trained}", "--text=the red house", "--text=é") == 0
    ids, accent = lines(capsys)
    assert tokenizer("decode", f"--tokenizer={trained}", f"--text={ids}", f"--text={accent}") == 0
    assert lines(capsys) == ["the red house", "é"]


def test_encode_reads_files_and_standard_input(trained, text, capsys, monkeypatch):
    capsys.readouterr()
    assert tokenizer("encode", f"--input={text}", "--json") == 0
    rows = [json.loads(line) for line in lines(capsys)]
    assert len(rows) == 160
    assert rows[0]["ids"] == [byte + 3 for byte in b"the red house of 0 rooms"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"old\r\nrooms\n")))
    assert tokenizer("encode", f"--tokenizer={trained}", "--output=pieces") == 0
    assert [line.replace(" ", "") for line in lines(capsys)] == ["\u2581old", "\u2581rooms"]


def test_report_beside_another_tokenizer(trained, text, capsys):
    capsys.readouterr()
    flags = [f"--tokenizer={trained}", "--against=byte", f"--input={text}"]
    assert tokenizer("report", *flags, "--json") == 0
    ours, byte = json.loads(capsys.readouterr().out).values()
    assert byte["tokens"] == byte["bytes"] and byte["tokens_per_byte"] == 1
    assert byte["words"] == ours["words"] == len(TEXT.split())
    assert ours["tokens"] < 0.7 * byte["tokens"]
    assert ours["unknown_rate"] == 0
    assert len(next(iter(ours["longest_pieces"]))) > 2
    assert tokenizer("report", *flags) == 0
    table = capsys.readouterr().out
    assert table.splitlines()[0].split() == [trained, "byte"]
    assert "tokens per word" in table


def test_report_counts_what_cannot_be_spelt(text, tmp_path, capsys):
    made = f"--model_prefix={tmp_path}/chars"
    options = ["--vocab_size=40", "--model_type=char", "--byte_fallback=false"]
    assert tokenizer("train", made, f"--input={text}", "--hard_vocab_limit=false", *options) == 0
    capsys.readouterr()
    assert tokenizer("report", f"--tokenizer={tmp_path}/chars", "--text=réd", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out).values()
    assert (found["tokens"], found["unknown_rate"]) == (4, 0.25)
    assert (found["byte_fallback_rate"], found["changed_texts"]) == (0, 1)


def test_every_option_has_a_flag_of_its_name(capsys):
    assert tokenizer("train", "--help") == 0
    shown = capsys.readouterr().out
    assert all(f"--{name} " in shown for name in TrainerOptions.__dataclass_fields__)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", "--name=x"], 2, "--vocab_size"),
        (["train", "--name=x", "--vocab_size=300"], 2, "--input=FILES or --task=NAME"),
        (["train", "--name=x", "--vocab_size=many"], 2, "--vocab_size"),
        (["train", "--name=x", "--byte_fallback=perhaps"], 2, "neither true nor false"),
        (["train", "--gin_file=r.gin", "--vocab_size=5"], 2, "TrainerOptions.vocab_size=VALUE"),
        (["train", "--name=x", "--vocab_size=9", "--input=/no/file"], 1, "/no/file"),
        (["encode", "--tokenizer=nosuch", "--text=a"], 1, "known: byte, "),
        (["encode", "--input=/no/file"], 1, "--input=/no/file: no such file"),
        (["decode", "--text=1 two"], 1, "not a list of ids"),
        (["decode", "--text=77 300"], 1, "id 300 is outside the vocabulary (0..258)"),
        (["decode", "--text=-5"], 1, "id -5 is outside"),
        (["report", "--text="], 1, "no text to report on"),
        ([], 2, "COMMAND"),
    ],
)
def test_errors_are_one_line_that_names_what_to_change(words, code, message, capsys):
    assert tokenizer(*words) == code
    output = capsys.readouterr().err
    assert output.startswith("lm: error: ") and output.count("\n") == 1
    assert message in output


def test_lines_left_out_are_refused_with_the_flag_that_skips_them_or_told(tmp_path, capsys):
    path = tmp_path / "latin1.txt"
    path.write_bytes(TEXT.encode() + b"M\xfcller\n")
    words = ["train", f"--model_prefix={tmp_path}/mine", f"--input={path}", *FLAGS]
    assert tokenizer(*words) == 1
    assert "--on_error=skip" in capsys.readouterr().err
    assert tokenizer(*words, "--on_error=skip", "--max_sentence_length=24") == 0
    output = capsys.readouterr()
    assert f"1 × invalid UTF-8 (first {path}:161)" in output.err
    assert "left out: 140 too long" in output.out


def test_too_many_characters_for_the_pieces_are_told_with_a_coverage_that_fits(tmp_path, capsys):
    path = tmp_path / "signs.txt"
    path.write_text(10 * TEXT + "".join(map(chr, range(0x4E00, 0x4E00 + 100))))
    words = ["train", f"--model_prefix={tmp_path}/mine", f"--input={path}", *FLAGS]
    words += ["--vocab_size=360"]
    assert tokenizer(*words, "--character_coverage=1.0") == 1
    coverage = re.search(r"character_coverage=(0\.\d+) half", capsys.readouterr().err)[1]
    assert tokenizer(*words, f"--character_coverage={coverage}") == 0
    assert tokenizer(*words, "--character_coverage=0.5") == 1
    output = capsys.readouterr().err
    assert "model: trainer_spec.character_coverage() >= 0.98" in output


def test_a_hostile_model_is_one_line(trained, tmp_path, capsys):
    data = bytearray(Path(trained, "mine.model").read_bytes())
    data[len(data) // 2 :] = b"\xff" * 50
    path = tmp_path / "hostile.model"
    path.write_bytes(data)
    assert tokenizer("encode", f"--tokenizer={path}", "--text=a") == 1
    output = capsys.readouterr().err
    assert output.startswith(f"lm: error: {path} is no usable") and output.count("\n") == 1


def test_invalid_utf8_is_told_by_file_and_line(tmp_path, capsys):
    path = tmp_path / "latin1.txt"
    path.write_bytes(b"fine\nM\xfcller\n")
    assert tokenizer("encode", f"--input={path}") == 1
    assert f"{path}:2: invalid UTF-8" in capsys.readouterr().err
