"""The same command goes on where the run stopped, and nothing tells the two apart."""

import functools
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lm.checkpoint import CheckpointError, read, verify
from lm.errors import UserError
from lm.optim import adafactor, adamw
from lm.train import metadata
from tests.toy import Stream
from tests.train.toy_run import Interrupted, run, untimed_rows

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Returns the folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


def assert_same_run(left, right, steps=(20,)):
    for step in steps:
        a, b = left / "checkpoints" / str(step), right / "checkpoints" / str(step)
        assert (a / "data_state").read_bytes() == (b / "data_state").read_bytes()
        for kind in verify(a).tensors:
            stored = read(b, kind)
            for name, array in read(a, kind).items():
                np.testing.assert_array_equal(stored[name], array, err_msg=f"{step} {name}")
    assert untimed_rows(left) == untimed_rows(right)


def interrupted(at, number):
    return functools.partial(Interrupted, at=at, number=number, pause=0.0)


@pytest.mark.parametrize(
    ("at", "number", "code"), [(7, signal.SIGTERM, 143), (14, signal.SIGINT, 130)]
)
def test_a_signal_saves_at_the_step_and_the_same_command_goes_on(whole, tmp_path, at, number, code):
    handler = signal.getsignal(number)
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, stream=interrupted(at, number))
    assert signal.getsignal(number) == handler
    assert stop.value.code == code
    assert verify(tmp_path / "checkpoints" / str(at)).step == at
    run(tmp_path)
    assert_same_run(whole, tmp_path, steps=(16, 20))


def test_rows_that_the_checkpoint_relies_on_are_missed(whole, tmp_path, capsys):
    shutil.copytree(whole, tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    run(tmp_path / "run")
    assert "1 of the rows up to step 20 are lost" in capsys.readouterr().err


def test_a_kill_at_any_moment_loses_nothing_but_steps(whole, tmp_path):
    command = [sys.executable, "-m", "tests.train.toy_run", str(tmp_path), "--pause=0.05"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not (tmp_path / "checkpoints" / "8").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    # A save that the kill had cut off would look like this.
    (tmp_path / "checkpoints" / ".tmp-12-1").mkdir()
    run(tmp_path)
    assert_same_run(whole, tmp_path)
    assert not list((tmp_path / "checkpoints").glob(".tmp-*"))


def test_a_damaged_checkpoint_is_passed_over(whole, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, stream=interrupted(10, signal.SIGTERM))
    damaged = tmp_path / "checkpoints" / "10" / "state.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    run(tmp_path)
    shown = capsys.readouterr().err
    assert "checkpoint 10 is damaged" in shown
    assert "resumed from step 8" in shown
    assert_same_run(whole, tmp_path)


def test_the_first_step_is_logged_with_the_time_to_compile(tmp_path, capsys):
    run(tmp_path, train_steps=3)
    lines = capsys.readouterr().err.splitlines()
    number = lines.index("compiling the training step: the first step takes longer than others")
    assert re.fullmatch(r"step 1: loss \d\.\d{4}, compiled in \d+ s", lines[number + 1])


def test_a_finished_run_has_nothing_to_do_and_says_so(whole, capsys):
    before = untimed_rows(whole)
    run(whole)
    assert untimed_rows(whole) == before
    assert "nothing is left to train: the run is at step 20" in capsys.readouterr().err


def test_another_seed_or_data_is_refused_by_name_and_can_be_allowed(whole):
    with pytest.raises(
        UserError,
        match=r"random_seed was 0, is 1\n(.*\n)*go on anyway:  --allow-change=random_seed",
    ):
        run(whole, random_seed=1)
    with pytest.raises(
        UserError, match=r"seed was 0, is 3\n(.*\n)*go on anyway:  --allow-change=seed"
    ):
        run(whole, stream=functools.partial(Stream, seed=3))
    run(whole, stream=functools.partial(Stream, seed=3), allow_change=["seed"])


def test_other_code_or_another_machine_is_told_once_and_not_refused(whole, monkeypatch, capsys):
    run(whole)
    assert "results may differ" not in capsys.readouterr().err
    found = metadata.code() | dict.fromkeys(
        ("lm.models", "lm.nn", "lm.objectives", "lm.optim"), "other"
    )
    monkeypatch.setattr(metadata, "code", lambda: found)
    monkeypatch.setattr(metadata, "PACKAGES", ("keras", "jax", "tensorflow"))
    run(whole)
    warnings = [x for x in capsys.readouterr().err.splitlines() if "results may differ" in x]
    assert len(warnings) == 2
    machine, code = warnings
    assert machine.startswith("the machine has changed, results may differ in the last bits: v")
    assert re.fullmatch(
        r"the code has changed .*may differ: lm\.models: \w{12} -> other;.*; and 1 more", code
    )


def test_another_optimizer_is_refused_by_the_names_of_its_slots(whole):
    with pytest.raises(CheckpointError, match="adafactor/iteration is not in the checkpoint"):
        run(whole, optimizer=functools.partial(adafactor, learning_rate=0.01, average=0.9))


class Poisoned(Stream):
    """Has batches that cannot be learned from, at some positions."""

    def __init__(self, *, at):
        super().__init__()
        self.at = at

    def __next__(self):
        found = super().__next__()
        if self.position in self.at:
            found["decoder_loss_weights"][0, 0] = np.nan
        return found


def test_bad_batches_are_skipped_and_counted_and_many_in_a_row_end_the_run(tmp_path):
    with pytest.raises(UserError, match="step 15: loss or gradient not finite in the last 4 steps"):
        run(tmp_path, stream=functools.partial(Poisoned, at=(2, 12, 13, 14, 15)), max_skipped=4)
    assert [row["skipped"] for row in untimed_rows(tmp_path) if row["split"] == "train"] == [1, 1]
    kept = {int(path.stem) for path in (tmp_path / "refused").iterdir()}
    assert kept == {2, 12, 13, 14, 15}
    newest = tmp_path / "checkpoints" / "12"
    for kind in verify(newest).tensors:
        for name, array in read(newest, kind).items():
            assert np.isfinite(array.astype("float64")).all(), name


def test_weights_start_another_run_with_a_fresh_optimizer(whole, tmp_path):
    run(tmp_path, initial_checkpoint_path=str(whole), train_steps=1)
    start = tmp_path / "checkpoints" / "0"
    last = read(whole / "checkpoints" / "20", "averages")
    for kind in ("weights", "averages"):
        for name, array in read(start, kind).items():
            np.testing.assert_array_equal(array, last[name], err_msg=name)
    assert read(start, "state")["adamw/iteration"] == 0


def test_the_folder_holds_what_it_should(whole):
    names = {path.name for path in whole.iterdir()}
    assert {"metrics.jsonl", "model-info.txt", "loss.png", "train", "training_eval"} <= names
    assert "Total number of parameters: 187" in (whole / "model-info.txt").read_text()
    assert (whole / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_the_best_checkpoint_is_kept(tmp_path, whole):
    metrics = {
        int(path.name): verify(path).metadata["metric"]
        for path in (whole / "checkpoints").iterdir()
    }
    assert {step for step, metric in metrics.items() if metric is not None} == {8, 16, 20}
    losses = {row["step"]: row["loss"] for row in untimed_rows(whole) if row.get("task") == "toy"}
    assert metrics[16] == losses[16]


def test_another_optimizer_may_be_allowed_and_begins_anew(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    slots = functools.partial(adafactor, learning_rate=0.01, average=0.9)
    run(tmp_path / "run", optimizer=slots, allow_change=["optimizer"], train_steps=21)
    new, old = (read(tmp_path / "run" / "checkpoints" / str(step), "state") for step in (21, 20))
    assert new["adafactor/iteration"] == 21
    assert not any(name.startswith("adamw") for name in new)
    assert any(name.startswith("adamw") for name in old)


def test_averages_that_nobody_keeps_any_more_are_refused(whole):
    with pytest.raises(CheckpointError, match=r"has averages, which .*--allow-change=optimizer"):
        run(whole, optimizer=functools.partial(adamw, learning_rate=0.01))


def test_other_data_start_over(whole, tmp_path, capsys):
    class Longer(Stream):
        def fingerprint(self):
            return {**super().fingerprint(), "lengths": 7}

    shutil.copytree(whole, tmp_path / "run")
    run(tmp_path / "run", stream=Longer, allow_change=["lengths"], train_steps=21)
    assert "lengths changed: the data start over" in capsys.readouterr().err
    assert (tmp_path / "run" / "checkpoints" / "21" / "data_state").read_bytes() == b"1"
