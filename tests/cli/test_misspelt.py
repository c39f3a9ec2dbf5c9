"""A misspelt task is answered by the index of tasks, before a framework is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from lm.cli import flags
from lm.cli.main import verb_parser
from lm.data.registry import task_index

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


def test_no_framework_is_loaded() -> None:
    code = (
        "import sys; from lm.cli.main import main; main(['show', 'pyhton_docs']);"
        "assert not {'tensorflow', 'seqio', 'keras', 'jax'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "'python_docs'?" in done.stderr) == (0, True), done.stderr
