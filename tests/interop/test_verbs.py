"""Every verb on an imported run, from the command line."""

import json
import shutil

import numpy as np
import pytest
import seqio

from lm.cli.main import main
from tests import user_names
from tests.interop import golden_folder

pytestmark = pytest.mark.slow
LETTERS = np.random.default_rng(0).choice(list("abcdefg "), (40, 10))
TEXT = "\n".join(map("".join, LETTERS)) + "\n"


@pytest.fixture
def run(tmp_path, capfd):
    """Calls a verb and returns what it printed, the error where it is to fail."""

    def call(*arguments, status=0):
        # A command is a process of its own, which registers one task.
        user_names.free(*(n for n in seqio.TaskRegistry.names() if n.startswith("imported_")))
        assert main([*map(str, arguments)]) == status
        printed = capfd.readouterr()
        return printed.err if status else printed.out

    return call


def imported(run, name, folder):
    """Imports a golden model; the run is moved before it is used."""
    source = golden_folder.write(name, folder / "source")
    run("import", f"--from={source}", f"--workdir={folder / 'first'}")
    shutil.move(folder / "first", folder / "run")
    return folder / "run"


def test_a_language_model_is_evaluated_scored_continued_embedded_and_trained(run, tmp_path):
    workdir = imported(run, "gpt2", tmp_path)
    (tmp_path / "poem.txt").write_text(TEXT)
    texts = f"--gin.TEXT_FILES={tmp_path / 'poem.txt'}"
    assert "perplexity" in run("eval", f"--workdir={workdir}", texts)
    (tmp_path / "lines.jsonl").write_text('{"text": "abc"}\n')
    scored = run("score", f"--workdir={workdir}", f"--input={tmp_path / 'lines.jsonl'}", "--json")
    assert json.loads(scored)["tokens"] == 4  # with the end token
    assert run("generate", f"--workdir={workdir}", "--prompt=ab", "--gin.generate.max_new_tokens=3")
    (tmp_path / "lines.txt").write_text("abc\nbcd\n")
    lines, vectors = f"--input={tmp_path / 'lines.txt'}", tmp_path / "vectors.npy"
    last = "--gin_file=vectors/last.gin"
    run("embed", f"--workdir={workdir}", last, lines, f"--output={vectors}")
    assert np.load(vectors).shape == (2, 16)
    steps = ["--gin.TRAIN_STEPS=2", "--gin.BATCH_SIZE=2", "--gin.EVAL_PERIOD=2"]
    again = f"--workdir={tmp_path / 'again'}"
    train = ["train", f"--gin_file={workdir / 'config.gin'}", texts, again]
    run(*train, *steps)
    assert run("generate", again, "--prompt=ab", "--gin.generate.max_new_tokens=3")
    longer = ["--gin.TRAIN_STEPS=4", *steps[1:]]
    # The learning rate of the first two steps would have been another.
    assert "--allow-change=steps" in run(*train, *longer, status=1)
    run(*train, *longer, "--allow-change=steps")
    assert (tmp_path / "again" / "checkpoints" / "4").is_dir()


def test_a_classifier_predicts_is_evaluated_and_trained(run, tmp_path):
    workdir = imported(run, "bert_classifier", tmp_path)
    rows = [
        f"{line}\t{('no', 'yes', 'both')[i % 3]}" for i, line in enumerate(TEXT.split("\n")[:-1])
    ]
    (tmp_path / "table.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    table = f"--gin.TABLE={tmp_path / 'table.tsv'}"
    (tmp_path / "lines.txt").write_text("abc\nbcd\n")
    found = run("predict", f"--workdir={workdir}", f"--input={tmp_path / 'lines.txt'}", "--json")
    assert {json.loads(line)["answer"] for line in found.splitlines()} <= {"no", "yes", "both"}
    assert "accuracy" in run("eval", f"--workdir={workdir}", table)
    steps = ["--gin.TRAIN_STEPS=2", "--gin.BATCH_SIZE=2", "--gin.EVAL_PERIOD=2"]
    run(
        "train",
        f"--gin_file={workdir / 'config.gin'}",
        table,
        *steps,
        f"--workdir={tmp_path / 'b'}",
    )


def test_an_encoder_gives_vectors(run, tmp_path):
    workdir = imported(run, "bert_masked", tmp_path)
    (tmp_path / "lines.txt").write_text("abc\nbcd\n")
    lines = f"--input={tmp_path / 'lines.txt'}"
    printed = run("embed", f"--workdir={workdir}", lines)
    assert len(json.loads(printed.splitlines()[0])["vector"]) == 16
    assert run("embed", f"--workdir={workdir}", lines, "--gin_file=vectors/cls.gin") != printed


def test_an_encoder_decoder_answers_and_is_evaluated(run, tmp_path):
    workdir = imported(run, "t5", tmp_path)
    rows = [f"{line}\t{line[::-1]}" for line in TEXT.split("\n")[:-1] if line.strip()]
    (tmp_path / "pairs.tsv").write_text("\n".join(["inputs\ttargets", *rows]) + "\n")
    pairs = f"--gin.PAIRS={tmp_path / 'pairs.tsv'}"
    assert run("generate", f"--workdir={workdir}", "--prompt=ab", "--gin.generate.max_new_tokens=3")
    assert "perplexity" in run("eval", f"--workdir={workdir}", pairs)
