"""What a run says of its useful steps holds across processes, however they ended."""

import json
import time

import pytest

from lm.train.goodput import ATTEMPTS, EXCLUDED, WIDTH, Goodput, attempts, format_goodput, shares
from lm.train.reporter import rows
from lm.train.training_batches import HashedBatches
from tests.toy import Stream
from tests.train.toy_run import run


def test_a_killed_process_leaves_its_last_figures(tmp_path):
    first = Goodput(tmp_path, step=0, started=0.0)
    for _ in range(5):
        first.advance({"compilation": 1.0, "unknown": 3.0})
    # Not closed: it was killed. The next one goes on from step 3.
    second = Goodput(tmp_path, step=3, started=0.0)
    second.advance({})
    second.close()
    lines = attempts(tmp_path)
    assert [(line["begin"], line["step"], line["executed"]) for line in lines] == [
        (0, 5, 5),
        (3, 4, 1),
    ]
    assert lines[0]["compilation"] == 1.0
    found = shares(lines)
    assert (found["useful"], found["executed"]) == (4, 6)
    assert found == second.shares()
    assert format_goodput(found).startswith("goodput: 4 of 6 executed steps useful (66.7 %), ")


def test_a_broken_line_ends_the_file_and_is_written_over(tmp_path):
    Goodput(tmp_path, step=0, started=0.0).close()
    with (tmp_path / ATTEMPTS).open("ab") as file:
        file.write(b'{"process":')
    assert len(attempts(tmp_path)) == 1
    Goodput(tmp_path, step=1, started=0.0).close()
    assert [line["begin"] for line in attempts(tmp_path)] == [0, 1]
    assert (tmp_path / ATTEMPTS).stat().st_size == 2 * WIDTH


@pytest.mark.parametrize("text", ['{"step": 3}', '{"step": 3', "[1]", '{"a": "\xff"}'])
def test_a_damaged_line_ends_the_file_too(tmp_path, text):
    for step in (0, 1):
        Goodput(tmp_path, step=step, started=0.0).close()
    path = tmp_path / ATTEMPTS
    path.write_bytes(path.read_bytes()[:WIDTH] + f"{text:<{WIDTH - 1}}\n".encode("latin1"))
    assert [line["begin"] for line in attempts(tmp_path)] == [0]


def test_no_share_is_negative():
    """The wall clock's second is rounded, and so is what was done beside the steps."""
    line = {"begin": 0, "step": 1, "executed": 1, "started": 0.0, "now": 9.0, "input": 9.001}
    assert shares([line])["goodput"] == 0.0


def test_durations_do_not_follow_a_clock_that_is_set(tmp_path, monkeypatch):
    found = Goodput(tmp_path, step=0, started=time.time())
    monkeypatch.setattr(time, "time", lambda: 0.0)
    found.advance({})
    found.close()
    (line,) = attempts(tmp_path)
    assert 0 <= line["now"] - line["started"] < 60


def test_the_first_batch_is_waited_for_once(tmp_path):
    class Slow(Stream):
        def __next__(self):
            start = time.perf_counter()
            time.sleep(0.5 if self.position == 0 else 0.0)
            found = super().__next__()
            self.wait_seconds += time.perf_counter() - start
            return found

    run(tmp_path, stream=Slow, train_steps=2, log_period=1, evaluations=[])
    (line,) = attempts(tmp_path)
    assert 0.5 <= line["input"] < line["input"] + line["compilation"]
    first, second = rows(tmp_path / "metrics.jsonl")
    assert first["timing/input_wait"] < 0.5
    for row in (first, second):
        assert 0 <= row["timing/goodput"] <= 1
    ended = line["now"] - line["started"]
    assert sum(line.get(name, 0.0) for name in EXCLUDED) <= ended + 0.01


def test_the_classes_are_shares_of_one_whole():
    lines = [
        {"begin": 0, "step": 10, "executed": 10, "started": 0.0, "now": 20.0, "start": 4.0},
        {"begin": 8, "step": 12, "executed": 4, "started": 30.0, "now": 40.0, "checkpoint": 2.0},
    ]
    found = shares(json.loads(json.dumps(lines)))
    parts = ("goodput", "repeated", "start", "compilation", "evaluate", "checkpoint", "input")
    assert sum(found[name] for name in parts) == pytest.approx(1.0)
    assert found["repeated"] == pytest.approx(16 * 0.2 / 30)
    assert found["down"] == 10.0


def test_only_the_same_sequence_of_batches_has_the_digest():
    digests = []
    for seed, count in ((0, 3), (0, 3), (1, 3), (0, 4)):
        data = HashedBatches(Stream(seed=seed))
        for _ in range(count):
            next(data)
        digests.append(data.digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
