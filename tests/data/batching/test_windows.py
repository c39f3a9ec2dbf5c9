"""Windows over a stream: shifted by one, exact when disjoint, drawn without state."""

import numpy as np
import pytest

from lm.data.batching import windows
from lm.errors import UserError
from tests.data import toy

STREAM = [*range(3, 3 + 26)]


@pytest.fixture
def task():
    """A task whose stream of tokens is the alphabet, in two examples of a split."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    texts = [{"targets": alphabet[:10]}, {"targets": alphabet[10:]}]
    made = toy.task("windows_task", {"train": texts}, features=("targets",))
    without_eos = made.replace(preprocessors=made.preprocessors[:-1])
    toy.seqio.TaskRegistry.remove(made.name)
    toy.seqio.TaskRegistry.add_provider(made.name, without_eos)
    return made.name


@pytest.mark.parametrize("length", [1, 3, 5, 25, 26, 40])
def test_disjoint_windows_predict_every_token_but_the_first_once(task, length):
    """Each from the one before it, whatever the window's length."""
    made = windows.window_batches(
        mixture_or_task_name=task, split="train", lengths={"targets": length}, batch_size=4
    )
    inputs, targets, real = (
        np.concatenate([batch[f"decoder_{name}"] for batch in made])
        for name in ("input_tokens", "target_tokens", "loss_weights")
    )
    stream = np.array([ord(c) + 3 for c in "abcdefghijklmnopqrstuvwxyz"])
    np.testing.assert_array_equal(inputs[real > 0], stream[:-1])
    np.testing.assert_array_equal(targets[real > 0], stream[1:])
    assert "".join(made.texts()) == "abcdefghijklmnopqrstuvwxyz"
    with pytest.raises(UserError, match="windows run across examples"):
        _ = made.row_examples


def make(task, **changes):
    """Random windows of 5."""
    settings = {"lengths": {"targets": 5}, "batch_size": 50, "seed": 1} | changes
    return windows.Windows(mixture_or_task_name=task, **settings)


def test_random_windows_are_shifted_by_one_and_reach_every_place(task):
    """All 21 places are drawn, the last one included."""
    batches = make(task)
    starts = set()
    for _ in range(5):
        batch = next(batches)
        inputs, targets = batch["decoder_input_tokens"], batch["decoder_target_tokens"]
        np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
        np.testing.assert_array_equal(np.diff(targets), 1)
        assert batch["decoder_loss_weights"].all()
        assert (batch["decoder_positions"] == np.arange(5)).all()
        starts |= {toy.text(row[:1]) for row in inputs}
    assert starts == set("abcdefghijklmnopqrstu")


def test_random_windows_go_on_from_a_position(task):
    """And differ by seed."""
    batches = make(task)
    next(batches)
    state = batches.state()
    expected = next(batches)["decoder_input_tokens"]
    again = make(task)
    again.restore(state)
    np.testing.assert_array_equal(next(again)["decoder_input_tokens"], expected)
    other = next(make(task, seed=2))["decoder_input_tokens"]
    assert not np.array_equal(next(make(task))["decoder_input_tokens"], other)


def test_a_split_that_is_too_short(task):
    """It is named with its size."""
    with pytest.raises(UserError, match="a split of 26 tokens is too small for windows of 26"):
        make(task, lengths={"targets": 26})
