"""A run whose rows go on from batch to batch resumes with its carry, or begins that anew."""

import functools
import os
import signal

import numpy as np
import pytest

from lm.checkpoint import read, verify
from tests import carried
from tests.train.compiled_once import compiled_once
from tests.train.test_resume import assert_same_run
from tests.train.toy_run import run as toy_run

run = functools.partial(
    toy_run,
    stream=carried.Rows,
    objective=carried.objective,
    evaluations=[],
    train_steps=10,
    save_period=4,
    eval_period=4,
)


class Interrupted(carried.Rows):
    """Sends this process a signal at a position."""

    def __next__(self):
        if self.position + 1 == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__next__()


@pytest.fixture(scope="module", autouse=True)
def _once():
    with compiled_once():
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


def carry(folder, step):
    return read(folder / "checkpoints" / str(step), "carry")


def test_an_interrupted_run_is_the_whole_run_bit_for_bit(whole, tmp_path):
    with pytest.raises(SystemExit):
        run(tmp_path, stream=Interrupted)
    assert verify(tmp_path / "checkpoints" / "7").step == 7
    assert carry(tmp_path, 7)["carry/decoder/positions"].any()
    run(tmp_path)
    assert_same_run(whole, tmp_path, steps=(8, 10))


def test_it_is_a_file_of_its_own_beside_what_inference_needs(whole):
    tensors = verify(whole / "checkpoints" / "10").tensors
    assert all(name.startswith("carry/") for name in tensors["carry"])
    others = [name for kind in tensors if kind != "carry" for name in tensors[kind]]
    assert not any("carry/" in name for name in others)


def test_other_data_begin_with_an_empty_carry(tmp_path):
    """Rows of another seed do not go on with what the checkpoint holds."""
    run(tmp_path, train_steps=4)
    assert carry(tmp_path, 4)["carry/decoder/positions"].any()
    other = functools.partial(carried.Rows, seed=1)
    run(tmp_path, stream=other, allow_change=["seed"], train_steps=5)
    rows = carried.batch(5, seed=1)
    on = rows["decoder_segment_ids"]
    assert (rows["decoder_continues"][on.max(1) == 1] == 1).any()
    expected = (on == on.max(1, keepdims=True)).sum(1)  # nothing before the row is counted
    np.testing.assert_array_equal(carry(tmp_path, 5)["carry/decoder/positions"], expected)


def test_going_back_begins_with_an_empty_carry(tmp_path):
    class Poisoned(carried.Rows):
        def __next__(self):
            found = super().__next__()
            if self.position in (6, 7):
                found["decoder_loss_weights"][0, 0] = np.nan
            return found

    run(tmp_path, stream=Poisoned, max_skipped=2, max_rollbacks=1, train_steps=7)
    assert not any(x.any() for x in carry(tmp_path, 7).values())
