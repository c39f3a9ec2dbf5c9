"""A comparison of pre-trainings: equal operations, finished runs skipped, scores of every seed."""

import json
from pathlib import Path

import pytest
from keras import KerasTensor

from lm import checkpoint
from lm.cli.main import main
from lm.errors import UserError
from lm.experiments import command, equal_compute
from tests.catalogue import family

ROW = equal_compute.Row("mlm", 40, ("--gin_file=mlm.gin",), ("--gin_file=labels/mlm.gin",))


@pytest.fixture
def trained(monkeypatch):
    """What was trained: `lm train` is a function that ends a run whose score is its number."""
    calls = []

    def run(verb, *flags, what):
        name, folder, flags = f"{verb} {what}", Path(flags[-1].split("=", 1)[1]), list(flags[:-1])
        calls.append((name, flags, folder))
        checkpoint.write(
            folder / "checkpoints/7",
            step=7,
            groups={},
            data_state=b"",
            metadata={"metric": -float(len(calls))},
        )
        (folder / equal_compute.FINISHED).touch()

    monkeypatch.setattr(command, "run", run)
    return calls


def test_a_row_is_pretrained_once_and_finetuned_on_every_task_with_every_seed(trained, tmp_path):
    (found,) = equal_compute.compare([ROW], ["sst2", "trec"], 2, tmp_path)
    assert found == {"name": "mlm", "steps": 40, "scores": {"sst2": [2, 3], "trec": [4, 5]}}
    name, flags, start = trained[0]
    assert (name, start) == ("train mlm", tmp_path / "mlm/pretrained")
    assert flags == ["--gin_file=mlm.gin", "--gin.TRAIN_STEPS=40", "--gin.EVAL_PERIOD=40"]
    name, flags, folder = trained[-1]
    assert (name, folder) == ("train mlm on trec", tmp_path / "mlm/trec/1")
    assert flags[1:] == [
        f"--gin.INITIAL_CHECKPOINT_PATH='{start}'",
        "--gin.TASK=trec",
        "--gin.RANDOM_SEED=1",
    ]


def test_finished_runs_are_skipped(trained, tmp_path):
    first = equal_compute.compare([ROW], ["sst2"], 1, tmp_path)
    assert equal_compute.compare([ROW], ["sst2"], 1, tmp_path) == first
    assert len(trained) == 2
    (tmp_path / "mlm/sst2/0" / equal_compute.FINISHED).unlink()
    equal_compute.compare([ROW], ["sst2"], 1, tmp_path)
    assert len(trained) == 3


def test_a_row_without_pretraining_begins_from_random_weights(trained, tmp_path):
    equal_compute.compare([ROW._replace(pretraining=())], ["sst2"], 1, tmp_path)
    ((_, flags, _),) = trained
    assert not any("INITIAL_CHECKPOINT_PATH" in flag for flag in flags)


def test_operations_become_steps_once(tmp_path):
    path = tmp_path / "mlm/steps.json"
    assert equal_compute.planned(path, 1e6, lambda: 3000) == 333
    assert equal_compute.planned(path, 1e6, lambda: 1) == 333
    assert json.loads(path.read_text())["flops_per_step"] == 3000
    with pytest.raises(UserError, match=r"planned for 1e\+06 operations, not 2e\+06"):
        equal_compute.planned(path, 2e6, lambda: 1)


def test_a_step_counts_forward_and_backward():
    """One layer of width 16: 4 projections, 2 of the feed-forward, attention, logits."""
    files = "bert/architecture.gin", "bert/masked.gin", "../objectives/token_prediction.gin"
    objective = family(*files, root="OBJECTIVE", NUM_LAYERS=1)
    rows, length, width, hidden, vocabulary = 2, 12, 16, 24, 40
    features = {"encoder_input_tokens": KerasTensor((rows, length), "int32")}
    layer = 4 * width * width + 2 * width * hidden + 2 * length * width
    head = width * width + width * vocabulary
    forward = 2 * rows * length * (layer + head)
    assert equal_compute.step_flops(objective, features) == 3 * forward


def test_a_row_is_the_mean_and_the_deviation_of_its_seeds(monkeypatch, capsys, tmp_path):
    def compare(rows, tasks, seeds, workdir):
        assert [row.name for row in rows] == ["none", "mlm"]
        assert (tasks, seeds, workdir) == (["sst2"], 2, tmp_path)
        return [
            {"name": row.name, "steps": row.steps, "scores": {"sst2": [80, 82]}} for row in rows
        ]

    monkeypatch.setattr(equal_compute, "compare", compare)
    monkeypatch.setattr(equal_compute, "planned", lambda path, flops, measure: 40)
    flags = [f"--workdir={tmp_path}", "--tasks=sst2", "--seeds=2", "--rows", "mlm.gin"]
    assert main(["compare-pretraining", *flags]) == 0
    assert "mlm   40     81.00 ± 1.41" in capsys.readouterr().out
