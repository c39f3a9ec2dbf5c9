"""A signal saves and ends the run within the step or batch under way; the rest is done later."""

import os
import signal

import pytest

from lm.checkpoint import verify
from lm.train.evaluation import TaskMetrics, metrics, total
from tests.toy import Stream, batch
from tests.train.compiled_once import compiled_once
from tests.train.test_bad_days import assert_same_run
from tests.train.toy_run import run


@pytest.fixture(scope="module", autouse=True)
def _compiled_once():
    with compiled_once():
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Returns the folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder, evaluations=[TwoTasks], train_steps=12)
    return folder


@pytest.mark.parametrize("hang_up", [signal.SIG_DFL, signal.SIG_IGN], ids=["terminal", "nohup"])
def test_a_terminal_may_hang_up_twice_and_nohup_holds(tmp_path, hang_up):
    class Hanging(Stream):
        def __next__(self):
            for _ in range(2 if self.position == 2 else 0):
                os.kill(os.getpid(), signal.SIGHUP)
            return super().__next__()

    before = signal.signal(signal.SIGHUP, hang_up)
    code = 0
    try:
        run(tmp_path, stream=Hanging, evaluations=[], train_steps=4)
    except SystemExit as stop:
        code = stop.code
    finally:
        signal.signal(signal.SIGHUP, before)
    last = 4 if hang_up is signal.SIG_IGN else 3
    assert code == (0 if hang_up is signal.SIG_IGN else 129)
    assert verify(tmp_path / "checkpoints" / str(last)).step == last


class TwoTasks:
    """An evaluation of three batches a task that may send this process a signal before one."""

    def __init__(self, at=-1):
        self.at, self.seen = at, 0

    def __call__(self, engine):
        for task in ("toy", "other"):
            yield TaskMetrics(task, "validation", metrics(total(engine, self.batches())))

    def batches(self):
        for seed in (7, 8, 9):
            if self.seen == self.at:
                os.kill(os.getpid(), signal.SIGTERM)
            self.seen += 1
            yield batch(seed)


@pytest.mark.parametrize("stops", [[0], [2], [4, 1], [5]])
def test_an_evaluation_that_a_signal_ends_is_repeated(whole, tmp_path, stops):
    """At most one more batch is evaluated; two tasks, each of them with rows of its own."""
    for at in stops:
        evaluation = TwoTasks(at)
        with pytest.raises(SystemExit) as stop:
            run(tmp_path, evaluations=[lambda found=evaluation: found])
        assert (stop.value.code, evaluation.seen) == (143, at + 1)
        manifest = verify(tmp_path / "checkpoints" / "8")
        assert (manifest.metadata["evaluated"], manifest.metadata["metric"]) == (False, None)
    run(tmp_path, evaluations=[TwoTasks], train_steps=12)
    for step in (8, 12):
        assert_same_run(whole, tmp_path, step)
    before, after = (verify(run / "checkpoints" / "8").metadata for run in (whole, tmp_path))
    assert before == after
    assert before["metric"] is not None


@pytest.mark.parametrize("at", [-1, 5])
def test_samples_are_written_to_the_end_or_not_begun(tmp_path, at):
    written = []

    def write(objective, *, step, workdir):
        written.append(step)
        os.kill(os.getpid(), signal.SIGTERM)

    evaluation = TwoTasks(at)
    with pytest.raises(SystemExit):
        run(tmp_path, evaluations=[lambda: evaluation], samples=lambda: write)
    assert written == ([8] if at < 0 else [])
    assert verify(tmp_path / "checkpoints" / "8").metadata["evaluated"] == (at < 0)
