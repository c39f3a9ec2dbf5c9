"""`lm train --check` names the mistakes of a user's data, all of them at once, before step 1."""

from pathlib import Path

import pytest
import seqio

from lm.cli.main import main
from tests.user_names import free

FILES = ("runs/pretrain", "models/t5_1_1/small", "tiny", "objectives/token_prediction")
MORE = ("features/encoder_decoder", "optim/adafactor_constant", "data/table_files")
GOOD = {
    "TABLE": "table.tsv",
    "user.tsv_task.inputs": "question",
    "user.tsv_task.targets": "answer",
    "user.tsv_task.held_out": 0.3,
    "TASK_FEATURE_LENGTHS": "{'inputs': 64, 'targets': 64}",
    "VOCABULARY_SIZE": 384,
    "TRAIN_STEPS": 2,
    "BATCH_SIZE": 2,
}
ROWS = "question\tanswer\n" + "".join(f"how much is {n}?\tas much as {n}\n" for n in range(30))
BLEU = {"user.tsv_task.metrics": "[@metrics.bleu]"}
# What the table holds, what is bound otherwise, what must be said.
MISTAKES = {
    "no mistake": (ROWS, {}, []),
    "no such file": (None, {}, ["table.tsv"]),
    "empty file": ("", {}, ["table.tsv", "empty"]),
    "header alone": ("question\tanswer\n", {}, ["no examples"]),
    "missing column": (ROWS, {"user.tsv_task.inputs": "quesion"}, ["table.tsv:1", "'quesion'"]),
    "missing cell": (ROWS + "how?\n", {}, ["table.tsv:32"]),
    "not UTF-8": (ROWS.encode() + b"\xff?\tyes\n", {}, ["table.tsv:32", "UTF-8"]),
    "wrong feature name": (
        ROWS,
        {"TASK_FEATURE_LENGTHS": "{'input': 64, 'targets': 64}"},
        ["'inputs'", "TASK_FEATURE_LENGTHS"],
    ),
    "no validation split": (ROWS, {"user.tsv_task.held_out": 0.0}, ["no split 'validation'"]),
    "a small vocabulary": (ROWS, {"VOCABULARY_SIZE": 100}, ["VOCABULARY_SIZE = 259"]),
    "no spaces, scored by words": (
        ROWS.replace("as much as", "一样多的数字"),
        BLEU,
        ["BLEU counts words", "metrics.bleu.language = 'zh'"],
    ),
    "two at once": (
        ROWS.replace("as much as", "一样多的数字"),
        {**BLEU, "VOCABULARY_SIZE": 100},
        ["2 faults", "BLEU counts words", "VOCABULARY_SIZE = 259"],
    ),
}


# What builds a model takes seconds; one of them is tried each time.
SLOW = ("no mistake", "no validation split", "a small vocabulary", "no spaces, scored by words")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in MISTAKES]
)
def test_a_mistake_of_the_data_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, bound, wanted = MISTAKES[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "cache"))
    if content is not None:
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / "table.tsv").write_bytes(data)
    given = [f"--gin.{key}={value}" for key, value in {**GOOD, **bound}.items()]
    code = main(["train", "--check", *(f"--gin_file={f}.gin" for f in (*FILES, *MORE)), *given])
    free(*{"user_tsv"} & set(seqio.TaskRegistry.names()))
    output = capsys.readouterr().err
    assert bool(code) == bool(wanted), output
    assert all(part in output for part in wanted), output
    assert len(output.splitlines()) == (3 if "2 faults" in output else bool(wanted)), output
