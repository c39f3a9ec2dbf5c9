"""`lm config` and `lm list` from the outside."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lm.cli import flags
from lm.cli import list as listing
from lm.cli.main import Parser
from lm.data.registry import task_index
from lm.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def answer(verb: str, *words: str) -> int:
    """Runs a verb in this process, without the frame."""
    import importlib

    module = importlib.import_module(f"lm.cli.{verb}")
    parser = Parser(prog=f"lm {verb}")
    module.add_arguments(parser)
    return module.run(parser.parse_args(flags.rewritten(words)))


def test_show_lists_macros_with_values_and_comments(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        answer("config", "show", "--gin_file=quickstart.gin", "--gin.BATCH_SIZE=4", "--json") == 0
    )
    rows = {row["macro"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["BATCH_SIZE"]["value"], rows["BATCH_SIZE"]["bound in"]) == (
        "4",
        "--gin.BATCH_SIZE",
    )
    assert rows["LEARNING_RATE"]["value"] == "0.05"
    assert rows["LEARNING_RATE"]["comment"] == "relative to the scale of a matrix"


def test_explain_tells_value_file_and_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explain", "NUM_LAYERS", "--gin_file=models/gpt2/small.gin"]
    assert answer("config", *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "NUM_LAYERS = 12"
    assert "small.gin:" in lines[1]
    assert "architecture.gin:" in lines[2]
    assert lines[2].lstrip().startswith("overrides ")


def test_explain_refuses_a_misspelt_flag() -> None:
    words = ["explain", "TRAIN_STEPS", "--gin_file=quickstart.gin"]
    with pytest.raises(ConfigError, match="did you mean 'save_period'"):
        answer("config", *words, "--gin.train.train.save_periods=10")


def test_explain_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explain", "NUM_LAYERS", "--gin_file=models/gpt2/small.gin", "--gin.NUM_LAYERS=2"]
    assert answer("config", *words, "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["value"], told["origin"]) == ("2", "--gin.NUM_LAYERS")
    assert [old["bound"] for old in told["overrides"]] == ["12", "%gin.REQUIRED"]


def test_explain_reads_a_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.gin").write_text("TRAIN_STEPS = 7\n")
    assert answer("config", "explain", "TRAIN_STEPS", f"--workdir={tmp_path}") == 0
    assert capsys.readouterr().out.startswith("TRAIN_STEPS = 7\n")


def test_diff_of_two_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["diff", "models/gpt2/small.gin", "models/gpt2/medium.gin", "--json"]
    assert answer("config", *words) == 0
    pairs = {d["name"]: (d["first"], d["second"]) for d in json.loads(capsys.readouterr().out)}
    assert pairs["decoder/lm.nn.stack.Stack.num_layers"] == ("12", "24")
    assert pairs["lm.nn.embedding.TokenEmbedding.hidden_dim"] == ("768", "1024")
    assert "lm.nn.norm.LayerNorm.epsilon" not in pairs


def test_diff_of_a_file_and_a_run_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.gin").write_text("TRAIN_STEPS = 7\n")
    (tmp_path / "other.gin").write_text("# The same.\nTRAIN_STEPS = 7\n")
    assert answer("config", "diff", str(tmp_path), str(tmp_path / "other.gin")) == 0
    assert capsys.readouterr().out == "no difference\n"


def test_list_models_names_every_file_with_its_headline(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert answer("list", "models", "--json") == 0
    rows = {row["config"]: row["about"] for row in json.loads(capsys.readouterr().out)}
    assert rows["models/gpt2/small.gin"] == "GPT-2 small: 124,439,808 parameters."
    assert all(rows.values())


def test_list_configs_holds_the_models() -> None:
    names = {row["config"] for row in listing.configs()}
    assert {row["config"] for row in listing.models()} <= names


def test_list_tokenizers_begins_with_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer("list", "tokenizers") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["tokenizer", "about"]
    assert lines[1].startswith("byte ")


def test_list_tasks_loads_no_framework(tmp_path: Path) -> None:
    """It took as long as an import of TensorFlow."""

    code = (
        "import sys; from lm.cli.main import main; main(['list', 'tasks', '--json']); "
        "print([name for name in ('seqio', 'tensorflow', 'keras') if name in sys.modules])"
    )
    environment = {**os.environ, "LM_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    listed, _, loaded = done.stdout.rpartition("\n]\n")
    rows = {row["task"]: row for row in json.loads(f"{listed}]")}
    assert loaded == "[]\n"
    assert rows["python_docs"]["module"] == "tasks.python_docs"
    assert rows["python_docs"]["data"] == "here"
    assert rows["multi30k_ende"]["data"] == "missing: multi30k/train.en.txt.gz"
    assert rows["glue_cola"]["data"] == "missing: tfds:glue/cola:1.0.0"


@pytest.mark.slow
def test_the_index_of_tasks_is_current(tmp_path: Path) -> None:
    """Otherwise: `make tasks`. In a process of its own: what other tests imported is registered."""
    path = tmp_path / "index.tsv"
    subprocess.run([sys.executable, "tools/task_index.py", path], cwd=ROOT, check=True, timeout=600)
    assert path.read_text(encoding="utf-8") == task_index.INDEX.read_text(encoding="utf-8")
