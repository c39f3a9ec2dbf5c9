"""A misspelt task is answered by the index of tasks, before a framework is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from lm.cli import flags
from lm.cli.main import verb_parser
from lm.data.registry import task_index
from lm.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("pyhton_docs", "python_docs"),
        ("python_docs", None),
        ("glue_cola_v002", None),  # t5's
        ("flan_rte_zsopt", None),  # by a pattern
        ("my_own_corpus", None),  # like none: the registry is asked
    ],
)
def test_a_name_like_one_of_the_index_is_misspelt(name: str, near: str | None) -> None:
    assert task_index.misspelt(name) == near


def found(*words: str) -> list[str]:
    """The faults of flags of `lm train`."""
    args = verb_parser("train").parse_args(flags.rewritten(["--gin_file=quickstart.gin", *words]))
    return [str(fault) for fault in flags.faults(args, roots=["lm.train.train"])]


def test_it_is_a_fault_of_a_gin_file_but_where_the_files_make_the_task() -> None:
    bound = "--gin.MIXTURE_OR_TASK_NAME=pyhton_docs"
    (line,) = found(bound)
    assert "no task 'pyhton_docs'; did you mean 'python_docs'?" in line
    assert found(bound, "--gin_modules=mine") == []
    made = ("--gin_file=data/text_files.gin", "--gin.user.text_task.name=pyhton_docs")
    assert found(*made, bound)[1:] == []


@pytest.mark.parametrize(
    "words",
    [
        ["show", "pyhton_docs"],
        ["tokenizer", "report", "--task=pyhton_docs"],
        ["tokenizer", "train", "--name=x", "--vocab_size=300", "--task=pyhton_docs"],
        ["eval", "--workdir=RUN", "--task=pyhton_docs"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_no_framework_is_loaded(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "config.gin").write_text("TRAIN_STEPS = 1\n")
    words = [word.replace("RUN", str(tmp_path)) for word in words]
    code = (
        f"import sys; from lm.cli.main import main; main({words});"
        "assert not {'tensorflow', 'seqio', 'keras', 'jax'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "'python_docs'?" in done.stderr) == (0, True), done.stderr


def test_a_task_of_the_run_itself_is_not_misspelt(tmp_path: Path) -> None:
    own = tmp_path / "config.gin"
    args = verb_parser("eval").parse_args([f"--workdir={tmp_path}"])
    own.write_text("include 'data/text_files.gin'\nuser.text_task.name = 'pyhton_docs'\n")
    flags.refuse_misspelt_task(args, "pyhton_docs", first=[str(own)])
    with pytest.raises(ConfigError, match="did you mean 'python_docs'"):
        flags.refuse_misspelt_task(args, "pyhton_docs")
