"""All faults of a configuration at once, judged by source alone."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from lm.config import faults, outline, shipped
from lm.config.scanner import scan
from tests.config.conftest import GOOD
from tests.config.test_bad_configs import WRONG_FLAGS, WRONG_LINES

TRAIN = "lm.train.train"
HANDED = ("workdir",)
HEAD = "from __gin__ import dynamic_registration\n"
# What only importing the modules shows, or is worded otherwise without.
UNSEEN = {"literal for an object", "factory for an object", "constant"}


def found(*texts: str, files: tuple[str, ...] = ("quickstart.gin",), **options) -> list[str]:
    """The messages for the quick start and these flags."""
    options = {"roots": [TRAIN], "handed": HANDED, **options}
    return [str(error) for error in faults.of_files(files, texts, **options)]


def test_the_quick_start_has_none() -> None:
    assert found() == []


def test_all_are_named_at_once(tmp_path: Path) -> None:
    mine = tmp_path / "mine.gin"
    mine.write_text(
        f"{HEAD}from lm import train\nfrom lm.nn import nrom\nTRAIN_STPES = 5\nBATCH_SIZE = 0\n"
        "train.train.save_periods = 10\ntrain.train.log_period = 'often'\n"
    )
    lines = found(files=("quickstart.gin", str(mine)))
    assert len(lines) == 6
    wanted = (
        "nothing uses the macro TRAIN_STPES; did you mean 'TRAIN_STEPS'?",
        "no module 'lm.nn.nrom'; did you mean 'lm.nn.norm'?",
        "train.train.save_periods: train has no parameter 'save_periods'; did you mean 'save_p",
        "log_period takes an integer from 1 on, not 'often'",
        "batch_size takes an integer from 1 on, not 0, set in",
    )
    assert all(any(part in line for line in lines) for part in wanted), lines


@pytest.mark.parametrize("name", [name for name in WRONG_LINES if name not in UNSEEN])
def test_a_mistake_of_the_table_is_found_without_an_import(name: str, workspace: Path) -> None:
    line, *wanted = WRONG_LINES[name]
    (workspace / "run.gin").write_text(f"{GOOD}{line}\n")
    found = faults.of_files(["run.gin"], modules=["parts"], roots=["parts.train"])
    assert any(all(part in str(error) for part in wanted) for error in found), found
    assert "parts" not in sys.modules


@pytest.mark.parametrize("name", WRONG_FLAGS)
def test_a_wrong_flag_of_the_table_is_found(name: str, workspace: Path) -> None:
    binding, *wanted = WRONG_FLAGS[name]
    (workspace / "run.gin").write_text(GOOD)
    found = faults.of_files(["run.gin"], [binding], modules=["parts"], roots=["parts.train"])
    assert any(all(part in str(error) for part in wanted) for error in found), found


def test_a_run_without_an_objective_names_the_file_to_add() -> None:
    files = ("runs/pretrain.gin", "models/gpt2/small.gin", "data/python_docs.gin")
    lines = found("TRAIN_STEPS = 5", files=files)
    assert any("add --gin_file=objectives/token_prediction.gin" in line for line in lines), lines
    assert any("add --gin_file=optim/adamw.gin" in line for line in lines)


def test_a_run_without_a_run_file_names_it() -> None:
    (line,) = found(files=("models/gpt2/small.gin",))
    assert line.startswith("nothing sets train.train's objective, optimizer, train_data, train_st")
    assert line.endswith("give --gin_file=runs/pretrain.gin first")


def test_a_name_that_no_given_file_imports_names_the_file_that_does() -> None:
    (line,) = found("adamw.adamw.frozen = 'embedding'")
    assert line.endswith(
        "is called 'adamw.adamw'; add --gin_file=optim/adamw.gin, which imports it"
    )


def test_an_import_that_is_missing_is_written_out(tmp_path: Path) -> None:
    (tmp_path / "mine.gin").write_text(f"{HEAD}train.train.log_period = 10\n")
    (line,) = found(files=("quickstart.gin", str(tmp_path / "mine.gin")))
    assert line.endswith("imports all that it names; add `from lm import train`")


def test_the_import_of_what_no_file_has_named_yet_is_that_of_the_package_s_files(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.gin").write_text(f"{HEAD}OPTIMIZER = @adamw.adamw\n")
    (line,) = found(files=("quickstart.gin", str(tmp_path / "mine.gin")))
    assert line.endswith("add `from lm.optim import adamw`")


def test_a_macro_that_nothing_defines_is_one_fault_however_often_it_is_used() -> None:
    lines = found("TRAIN_STEPS = 5", files=("runs/pretrain.gin", "models/gpt2/small.gin"))
    (line,) = [line for line in lines if "%TASK_FEATURE_LENGTHS" in line]
    assert "which nothing defines (2 more use it); add --gin_file=data/python_docs.gin" in line


def test_a_file_without_the_header_sees_the_imports_before_it(tmp_path: Path) -> None:
    """So that a file of two lines can choose another reader."""
    (tmp_path / "mine.gin").write_text(
        "include 'data/text_files.gin'\nuser.text_task.reader = @readers.read_paragraphs\n"
    )
    assert found(files=("quickstart.gin", str(tmp_path / "mine.gin"))) == []


def test_a_lost_file_does_not_make_others_look_wrong() -> None:
    (line,) = found(files=("quickstrat.gin",))
    assert "did you mean 'quickstart.gin'?" in line


def test_what_a_gin_file_may_not_name_is_refused() -> None:
    lines = found("from lm import disk\nX = @disk.remove")
    assert any("@lm.disk.remove is not admitted" in line for line in lines), lines


@pytest.mark.parametrize("macro", shipped._MACROS)
def test_the_file_to_add_defines_the_macro(macro: str) -> None:
    file = shipped._MACROS[macro]
    assert macro in {b.scope for b in scan([file]).bindings if b.is_macro}


@pytest.mark.parametrize(
    "path",
    [
        "lm.train.train",
        "lm.nn.attention.SelfAttention",
        "lm.data.user_tasks.user.text_task",
        "lm.optim.adamw",
    ],
)
def test_an_outline_has_the_parameters_of_the_real_one(path: str) -> None:
    import importlib

    from lm.config import parameters

    module, _, name = path.rpartition(".")
    real = getattr(importlib.import_module(module), name)
    sketched = outline.outline(path).signature
    assert list(parameters.parameters(sketched)) == list(parameters.parameters(real))
    assert parameters.required(sketched) == [
        name for name in parameters.required(real.__init__ if isinstance(real, type) else real)
    ]


def test_no_framework_is_loaded() -> None:
    """A misspelt name is told in less time than an import takes."""
    code = (
        "import sys; from lm.cli.main import main\n"
        "code = main(['train', '--gin_file=quickstart.gin', '--gin.BATCH_SIZES=3'])\n"
        "print(code, [name for name in ('keras', 'tensorflow', 'jax') if name in sys.modules])"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "2 []\n"
    assert "did you mean 'BATCH_SIZE'?" in done.stderr
    assert time.monotonic() - started < 10  # far less on a quiet machine
