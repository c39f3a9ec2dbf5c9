"""A run up to its first step: every fault is named, nothing is written."""

import functools

import pytest

from lm.errors import UserError
from lm.optim import adamw
from lm.train.root import rehearse
from tests.toy import Stream, Toy
from tests.train.toy_run import run


def fails(text):
    def make():
        raise UserError(text)

    return make


def arguments(**changes):
    return {
        "objective": Toy,
        "optimizer": functools.partial(adamw, learning_rate=0.1),
        "train_data": Stream,
        "train_steps": 5,
        "allow_change": (),
        **changes,
    }


def test_a_sound_run_is_described(tmp_path):
    found = rehearse(arguments(), tmp_path)
    assert found.faults == []
    assert found.description["parameters"] == "187"
    assert found.description["trains"] == "from the beginning, to step 5"
    assert list(tmp_path.iterdir()) == []


def test_independent_faults_are_named_together(tmp_path):
    wrong = arguments(
        train_data=fails("no task"), evaluations=[fails("no split")], objective=fails("no model")
    )
    found = rehearse(wrong, tmp_path)
    assert [str(fault) for fault in found.faults] == ["no task", "no split", "no model"]


def test_the_folder_of_another_run_is_a_fault(tmp_path):
    run(tmp_path, train_steps=1)
    (fault,) = rehearse(arguments(random_seed=7), tmp_path).faults
    assert "was started with other" in str(fault)


@pytest.mark.parametrize("policy", ["mixed_float16"])
def test_a_setting_of_the_process_is_a_fault(policy, tmp_path):
    (fault,) = rehearse(arguments(dtype_policy=policy), tmp_path).faults
    assert "take mixed_bfloat16" in str(fault)
