"""Loss or gradient not finite: skipped, named, saved, replayed; then a stop or a rollback."""

import functools
import os
import signal

import numpy as np
import pytest

from lm import engines
from lm.checkpoint import read, verify
from lm.errors import UserError
from lm.optim import adamw
from lm.train import skipped_batch, state
from tests.reliability.bars_checkpoint import written_out
from tests.toy import Stream, Toy, batch
from tests.train.compiled_once import compiled_once
from tests.train.toy_run import run, untimed_rows

IN_A_ROW = (12, 13, 14, 15)


@pytest.fixture(scope="module", autouse=True)
def _compiled_once():
    with compiled_once():
        yield


class Poisoned(Stream):
    """Has batches that cannot be learned from, and may send this process a signal."""

    def __init__(self, *, at, signal_at=0, bad=np.nan):
        super().__init__()
        self.at, self.signal_at, self.bad = at, signal_at, bad

    def __next__(self):
        found = super().__next__()
        if self.position in self.at:
            found["decoder_loss_weights"][0, 0] = self.bad
        if self.position == self.signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return found


def poisoned(at, **changes):
    return functools.partial(Poisoned, at=at, **changes)


def tensors(checkpoint):
    """Returns (kind, name) -> array of a verified checkpoint."""
    return {
        (kind, name): array
        for kind in verify(checkpoint).tensors
        for name, array in read(checkpoint, kind).items()
    }


def assert_finite(folder):
    for path in (folder / "checkpoints").iterdir():
        for name, array in tensors(path).items():
            assert np.isfinite(array.astype("float64")).all(), (path, name)


def assert_same_run(left, right, step=20):
    a, b = (folder / "checkpoints" / str(step) for folder in (left, right))
    found = tensors(b)
    for name, array in tensors(a).items():
        np.testing.assert_array_equal(found[name], array, err_msg=str(name))
    assert (a / "data_state").read_bytes() == (b / "data_state").read_bytes()
    assert untimed_rows(left) == untimed_rows(right)


@pytest.fixture(scope="module")
def rolled_back(tmp_path_factory):
    """Returns the folder of a run that was rolled back once and finished."""
    folder = tmp_path_factory.mktemp("rolled_back")
    run(folder, stream=poisoned(IN_A_ROW), max_skipped=4, max_rollbacks=1)
    return folder


def test_one_message_names_step_terms_tensors_and_file(tmp_path):
    with pytest.raises(UserError) as stop:
        run(tmp_path, stream=poisoned(IN_A_ROW), max_skipped=4)
    text = str(stop.value)
    assert "\n" not in text
    assert stop.value.exit_code == 1
    assert text.startswith("step 15: loss or gradient not finite in the last 4 steps")
    assert "loss nan" in text and "accuracy nan" in text
    assert "features decoder_loss_weights" in text
    assert "gradients toy/embedding/embeddings, toy/logits/kernel, toy/logits/bias" in text
    assert f"--replay_batch={tmp_path}/refused/15.safetensors" in text
    assert "train.train.max_rollbacks = 1" in text
    assert_finite(tmp_path)


def test_single_bad_batches_are_kept_and_the_run_goes_on(tmp_path, capsys):
    run(tmp_path, stream=poisoned((3, 9, 20), bad=np.inf))
    assert {path.stem for path in (tmp_path / "refused").iterdir()} == {"3", "9", "20"}
    kept = skipped_batch.read(tmp_path / "refused" / "9.safetensors")
    assert kept.step == 9
    assert kept.batch["decoder_loss_weights"][0, 0] == np.inf
    assert kept.batch["decoder_input_tokens"].dtype == np.int32
    assert "step 9: update skipped: loss " in capsys.readouterr().err
    last = [row for row in untimed_rows(tmp_path) if row["split"] == "train"][-1]
    assert (last["step"], last["skipped"]) == (20, 3)


def test_going_back_takes_the_last_good_state_and_passes_the_data(rolled_back):
    assert_finite(rolled_back)
    # 12 was saved while updates were skipped, so 8 is the last good one.
    back, good = (tensors(rolled_back / "checkpoints" / step) for step in ("15", "8"))
    for (kind, name), array in good.items():
        if not name.startswith("meter/"):
            np.testing.assert_array_equal(back[kind, name], array, err_msg=name)
    assert back["state", "meter/rollbacks"] == 1
    assert back["state", "meter/skipped"] == 4
    assert (rolled_back / "checkpoints" / "15" / "data_state").read_bytes() == b"15"
    last = [row for row in untimed_rows(rolled_back) if row["split"] == "train"][-1]
    assert (last["step"], last["rollbacks"], last["skipped"]) == (20, 1, 4)


@pytest.mark.slow
@pytest.mark.parametrize("at", [12, 14, 17])
def test_an_interrupted_run_goes_back_the_same_way(rolled_back, tmp_path, at):
    limits = {"max_skipped": 4, "max_rollbacks": 1}
    with pytest.raises(SystemExit):
        run(tmp_path, stream=poisoned(IN_A_ROW, signal_at=at), **limits)
    assert (tmp_path / "checkpoints" / str(at)).is_dir()
    run(tmp_path, stream=poisoned(IN_A_ROW), **limits)
    assert_same_run(rolled_back, tmp_path)


def test_a_run_that_has_gone_back_often_enough_stops(tmp_path):
    with pytest.raises(UserError, match=r"step 15: .*max_rollbacks = 2"):
        run(tmp_path, stream=poisoned(IN_A_ROW), max_skipped=2, max_rollbacks=1, keep=1)
    assert_finite(tmp_path)


def test_one_skipped_update_may_be_too_many(tmp_path):
    with pytest.raises(UserError, match=r"step 7: .* in the last 1 steps"):
        run(tmp_path, stream=poisoned((7,)), max_skipped=1)


@pytest.mark.parametrize("step", [12, pytest.param(14, marks=pytest.mark.slow)])
def test_a_kept_batch_runs_alone_from_the_state_that_it_met(rolled_back, capsys, step):
    before = sorted(path.name for path in (rolled_back / "checkpoints").iterdir())
    file = rolled_back / "refused" / f"{step}.safetensors"
    run(rolled_back, stream=poisoned(IN_A_ROW), replay_batch=str(file))
    shown = capsys.readouterr().out
    assert f"batch of step {step}: update skipped" in shown
    assert "terms equal those of the run: yes, bit for bit" in shown
    assert "the data give the same batch: yes" in shown
    assert "gradients not finite: toy/embedding/embeddings" in shown
    assert sorted(path.name for path in (rolled_back / "checkpoints").iterdir()) == before


def test_the_first_bad_activations_are_named_in_the_order_of_the_pass():
    features = batch(0)
    engine = engines.get()(
        objective=Toy(dropout=0.3),
        optimizer=adamw(learning_rate=0.01),
        features=features,
        microbatches=2,
    )
    assert skipped_batch.not_finite_layers(engine.program, features) == []
    table = engine.program.objective.embedding.embeddings
    table.assign(np.full(table.shape, np.inf, "float32"))
    (seed,) = engine.program.others
    before = np.asarray(seed.value).copy()
    paths = ["toy/embedding", "toy/dropout", "toy/logits", "toy"]
    assert skipped_batch.not_finite_layers(engine.program, features) == paths
    assert skipped_batch.not_finite_layers(engine.program, features) == paths
    np.testing.assert_array_equal(np.asarray(seed.value), before)


def test_a_state_that_an_update_broke_is_taken_back_or_never_saved(tmp_path, monkeypatch):
    def broken(program):
        if int(program.optimizer.rule.iterations.value) == 8 and not rollbacks(program):
            raise state.NotFiniteError("not saved: toy/logits/bias not finite after an update")
        return arrays(program)

    def rollbacks(program):
        return int(np.asarray(program.meter.counters["rollbacks"].value))

    arrays = state.arrays
    monkeypatch.setattr(state, "arrays", broken)
    with pytest.raises(UserError, match=r"step 8: not saved: toy/logits/bias .*max_rollbacks = 1"):
        run(tmp_path / "stopped")
    run(tmp_path / "back", max_rollbacks=1, train_steps=12)
    assert tensors(tmp_path / "back" / "checkpoints" / "8")["state", "adamw/iteration"] == 4
    assert tensors(tmp_path / "back" / "checkpoints" / "12")["state", "adamw/iteration"] == 8


@pytest.mark.parametrize("size", [0, 20, 200, 600, 2000])
@pytest.mark.usefixtures("capsys")
def test_a_disk_that_is_full_at_the_start_is_one_line(tmp_path, size):
    with written_out(size), pytest.raises(UserError) as stop:
        run(tmp_path, train_steps=4)
    said = str(stop.value)
    assert said.startswith("cannot write ")
    assert str(tmp_path) in said
    assert " free): " in said
    assert "make room and run the same command again" in said
    assert "\n" not in said
    run(tmp_path, train_steps=4)


def test_a_file_that_no_run_saved_is_refused(tmp_path):
    other = tmp_path / "x.safetensors"
    other.write_bytes(b"no")
    for path in (other, tmp_path / "missing.safetensors"):
        with pytest.raises(UserError, match="not a batch saved by a run"):
            run(tmp_path, replay_batch=str(path))
