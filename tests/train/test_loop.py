"""Early stopping: when a run ends, what it keeps, and that a resumed run counts on."""

import functools

import pytest

from lm.checkpoint import best, read, verify
from lm.errors import ConfigError
from lm.optim import sgd
from lm.optim.averages import NonMonotonic
from lm.train.evaluation import TaskMetrics
from lm.train.loop import Patience, decisive
from tests.train.toy_run import run

SCORES = [50.0, 61.0, 60.0, 61.0, 62.0, 63.0]


def scripted(scores):
    """An evaluation that finds one score after the other."""
    waiting = iter(scores)

    def evaluate(engine):
        del engine
        score = next(waiting)
        yield TaskMetrics("toy", "validation", {"loss": score, "f1": score}, score)

    return lambda: evaluate


def scripted_losses(losses):
    """An evaluation that finds one loss after the other."""
    waiting = iter(losses)
    return lambda: lambda engine: [TaskMetrics("toy", "validation", {"loss": next(waiting)})]


def trained(folder, scores, **settings):
    run(folder, evaluations=[scripted(scores)], eval_period=2, save_period=2, **settings)


def saved(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir())


def test_a_run_ends_after_so_many_evaluations_and_goes_on_with_more_patience(tmp_path, capsys):
    trained(tmp_path, SCORES, patience=2, keep=1)
    assert "ended at step 8: no better evaluation in the last 2" in capsys.readouterr().err
    assert saved(tmp_path) == [4, 8]
    assert best(tmp_path).name == "4"  # the highest score, though the loss is the highest too
    assert verify(best(tmp_path)).metadata["metric"] == -61.0
    trained(tmp_path, [], patience=2)  # nothing to do
    assert "ended at step 8" in capsys.readouterr().err
    trained(tmp_path, SCORES[4:], patience=3, train_steps=12)
    assert best(tmp_path).name == "12"


def test_what_a_checkpoint_remembers_is_what_a_run_would_have_counted(tmp_path):
    trained(tmp_path, SCORES, patience=4, train_steps=6)
    state = verify(tmp_path / "checkpoints" / "6").metadata["patience"]
    assert state == {"best": -61.0, "waited": 1}
    trained(tmp_path, [60.0], patience=2)
    assert saved(tmp_path)[-1] == 8


def test_what_is_not_a_number_is_never_better():
    patience = Patience(limit=2)
    for metric in (float("nan"), None):
        patience.add(metric)
    assert patience.is_over
    assert decisive(TaskMetrics("toy", "validation", {"accuracy": 1.0})) is None


def test_a_resumed_run_remembers_the_losses_that_start_the_mean(tmp_path, capsys):
    """The third loss is above the first; the second run has seen it alone."""
    optimizer = functools.partial(sgd, learning_rate=0.01, average=NonMonotonic(patience=1))
    settings = {"eval_period": 2, "save_period": 2, "optimizer": optimizer}
    run(tmp_path, evaluations=[scripted_losses([1.0, 0.5])], train_steps=4, **settings)
    assert "the mean of the weights begins" not in capsys.readouterr().err
    run(tmp_path, evaluations=[scripted_losses([2.0, 3.0])], train_steps=8, **settings)
    assert capsys.readouterr().err.count("the mean of the weights begins") == 1
    stored = read(tmp_path / "checkpoints" / "8", "state")
    assert stored["average/start"] == 6


def test_patience_without_evaluations_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"train\.train\.patience waits for evaluations"):
        run(tmp_path, evaluations=[], patience=1)
