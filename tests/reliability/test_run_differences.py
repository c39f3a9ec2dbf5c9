"""A difference of one bit between two runs is named; equal runs have none."""

import json

import numpy as np
import pytest

from lm.checkpoint import write
from lm.cli import verify_resume as verb
from lm.cli.main import main
from lm.errors import UserError
from lm.reliability import trial
from lm.reliability.run_differences import RunComparison, compare_runs


def run_folder(folder, *, value=1.0, loss=0.5, text="a", batches="0", seconds=1.0):
    kernel = np.array([[1.0, 2.0], [3.0, value]], "float32")
    groups = {"weights": {"kernel": kernel, "bias": np.zeros(2, "float32")}}
    facts = {"batches": batches}
    write(folder / "checkpoints" / "4", step=4, groups=groups, data_state=b"", metadata=facts)
    row = {"step": 4, "split": "train", "loss": loss, "timing/uptime": seconds}
    (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "samples").mkdir()
    (folder / "samples" / "000004.txt").write_text(text)
    return folder


def test_equal_runs_have_no_difference_whatever_time_they_took(tmp_path):
    left = run_folder(tmp_path / "left")
    found = compare_runs(left, run_folder(tmp_path / "right", seconds=2.0))
    assert (found.tensors, found.samples, found.differences) == (2, 1, [])
    assert found.numbers > 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            {"value": np.nextafter(np.float32(1), np.float32(2))},
            "checkpoint 4: weights kernel: 1 of 4 numbers differ, the first at [1, 1]",
        ),
        ({"value": -0.0}, "weights kernel"),
        ({"loss": 0.25}, "metrics.jsonl 4, train: loss: 0.5 and 0.25"),
        ({"text": "b"}, "sample 000004.txt"),
        ({"batches": "1"}, "checkpoint 4: the batches consumed are not the same"),
    ],
)
def test_a_difference_is_named(tmp_path, change, named):
    left = run_folder(tmp_path / "left", value=0.0 if change == {"value": -0.0} else 1.0)
    (line,) = compare_runs(left, run_folder(tmp_path / "right", **change)).differences
    assert named in line


def test_the_verb_tells_what_differs_and_fails(tmp_path, monkeypatch, capsys):
    asked = {}

    def tried(**settings):
        asked.update(settings)
        return trial.Trial([2, 5], RunComparison(10, 20, 1, ["checkpoint 4: weights kernel: ..."]))

    monkeypatch.setattr(trial, "verify_resume", tried)
    words = ["verify-resume", "--gin_file=a.gin", "--gin.SIZE=2", f"--workdir={tmp_path}"]
    assert main(words) == 1
    shown = capsys.readouterr().out
    assert "differs: checkpoint 4: weights kernel" in shown
    assert "2 kills (after steps 2, 5): 10 tensors" in shown
    assert asked["flags"][:2] == ["--gin_file=a.gin", "--gin_bindings=SIZE = 2"]
    assert main([*words, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["kills"] == [2, 5]
    assert verb.HELP


def test_a_folder_with_runs_is_refused(tmp_path):
    (tmp_path / "whole").mkdir()
    with pytest.raises(UserError, match="already has runs"):
        trial.verify_resume(
            flags=[], workdir=tmp_path, steps=4, kills=1, seed=0, log=lambda line: None
        )
