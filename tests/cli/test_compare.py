"""`lm compare`: rows of equal seconds, finished ones skipped, interrupted ones gone on with."""

import json

import pytest

from lm.cli.main import main
from lm.errors import UserError
from lm.experiments import equal_time

ROW = """\
include 'quickstart.gin'
include 'tiny.gin'
BATCH_SIZE = 2
TASK_FEATURE_LENGTHS = {{'targets': 32}}
EVAL_STEPS = None
{more}
"""
STEPS = 5


def logs(steps, task="docs", rate=4.0, **values):
    """The rows that `lm train` writes."""
    timing = {"timing/steps_per_second": rate, "timing/target_tokens_per_second": 100 * rate}
    train = [{"step": step, "split": "train", **timing} for step in range(1, steps + 1)]
    return [*train, {"step": steps, "split": "validation", "task": task, **values}]


@pytest.fixture
def trained(monkeypatch):
    """What was trained: `lm train` is a function that writes its journal."""
    calls = []

    def train(row, folder, steps, *words):
        calls.append((row.name, folder.name, steps))
        folder.mkdir(parents=True)
        written = logs(steps, bits_per_byte=len(calls) / 10)
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in written))

    monkeypatch.setattr(equal_time, "_train", train)
    return calls


def test_seconds_become_steps_and_finished_runs_are_skipped(trained, tmp_path):
    row = equal_time.Row("gpt", (), seconds=10.0, seeds=2)
    (found,) = equal_time.compare([row], tmp_path)
    assert trained == [
        ("gpt", "gpt", equal_time.MEASURED_STEPS),
        ("gpt", "0", 40),
        ("gpt", "1", 40),
    ]
    assert found["bits_per_byte"] == {"docs": [0.2, 0.3]}
    assert (found["steps"], found["seconds"], found["tokens_per_second"]) == (40, 10, 400)
    assert equal_time.compare([row], tmp_path) == [found]
    assert len(trained) == 3
    equal_time.compare([row._replace(seeds=3)], tmp_path)
    assert trained[3:] == [("gpt", "2", 40)]


def test_an_encoder_has_no_bits_per_byte(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in logs(5)))
    row = equal_time.Row("bert", (), seconds=10.0, seeds=1)
    found = equal_time.metrics(row, [tmp_path], {"steps": 5, "steps_per_second": 4.0})
    assert found["bits_per_byte"] == {}


def test_a_run_short_of_its_last_step_goes_on(trained, tmp_path):
    (tmp_path / "gpt").mkdir()
    plan = {"seconds": 10.0, "steps_per_second": 4.0, "steps": 40}
    (tmp_path / "gpt/steps.json").write_text(json.dumps(plan))
    row = equal_time.Row("gpt", (), seconds=10.0, seeds=1)
    assert equal_time.final(tmp_path / "gpt/0", 40) == []
    equal_time.compare([row], tmp_path)
    assert trained == [("gpt", "0", 40)]


def test_the_speed_is_that_of_the_plan_whatever_ran_beside_a_run(trained, tmp_path):
    (tmp_path / "gpt").mkdir()
    plan = {"seconds": 10.0, "steps_per_second": 8.0, "steps": 80}
    (tmp_path / "gpt/steps.json").write_text(json.dumps(plan))
    (found,) = equal_time.compare([equal_time.Row("gpt", (), seconds=10.0, seeds=1)], tmp_path)
    assert found["tokens_per_second"] == 800


def test_other_seconds_in_the_same_folder_are_refused(trained, tmp_path):
    equal_time.compare([equal_time.Row("gpt", (), seconds=10.0, seeds=1)], tmp_path)
    with pytest.raises(UserError, match=r"steps.json: planned for 10 s, not 20 s"):
        equal_time.compare([equal_time.Row("gpt", (), seconds=20.0, seeds=1)], tmp_path)


def test_a_row_must_say_how_long(tmp_path, capsys):
    (tmp_path / "row.gin").write_text(ROW.format(more=""))
    assert main(["compare", str(tmp_path), f"--workdir={tmp_path}"]) == 2
    assert "row.gin: TRAIN_SECONDS is not defined; give --seconds=" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--seconds=0", "--seeds=-1", "--seconds=nan"])
def test_nothing_to_train_is_refused(flag, tmp_path, capsys):
    assert main(["compare", "quickstart.gin", f"--workdir={tmp_path}", flag]) == 2
    assert f"must be above 0, got {flag.partition('=')[2]}" in capsys.readouterr().err


def test_flags_say_seconds_and_seeds(trained, tmp_path, capsys):
    (tmp_path / "row.gin").write_text(ROW.format(more="TRAIN_SECONDS = 1"))
    words = ["compare", str(tmp_path / "row.gin"), f"--workdir={tmp_path}/runs", "--json"]
    assert main([*words, "--seconds=10", "--seeds=2"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["steps"], found["seeds"]) == (40, 2)
    assert not (tmp_path / "runs" / equal_time.PICTURE).exists()  # these logs hold no loss


@pytest.mark.slow
def test_a_row_is_trained_and_shown(tmp_path, capsys):
    (tmp_path / "row.gin").write_text(ROW.format(more="TRAIN_SECONDS = 1"))
    words = ["compare", str(tmp_path / "row.gin"), f"--workdir={tmp_path}/runs", "--json"]
    assert main(words) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["steps"] > 0 and found["parameters"] > 0
    assert 0 < found["bits_per_byte"]["python_docs"][0] < 9
