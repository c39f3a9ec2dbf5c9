"""Where metrics go: metrics.jsonl, TensorBoard's events, a logger of a user's own."""

import math

import pytest

from lm.train import reporter
from lm.train.evaluation import TaskMetrics
from lm.train.logger import Row
from lm.train.state import StartPoint
from lm.train.tensorboard import EventWriter, TensorBoard


def test_tensorboard_reads_what_is_written(tmp_path):
    tensorflow = pytest.importorskip("tensorflow")
    events = EventWriter(tmp_path, step=40)
    events.scalars(300, {"loss": 1.5, "timing/uptime": 2.0})
    events.close()
    (path,) = tmp_path.iterdir()
    found = []
    for record in tensorflow.data.TFRecordDataset(str(path)):
        event = tensorflow.compat.v1.Event()
        event.ParseFromString(record.numpy())
        found.append(event)
    assert found[0].file_version == "brain.Event:2"
    assert (found[1].session_log.status, found[1].step) == (1, 41)
    values = {value.tag: value.simple_value for value in found[2].summary.value}
    assert (found[2].step, values) == (300, {"loss": 1.5, "timing/uptime": 2.0})


def test_tensorboard_has_a_folder_for_the_training_and_for_each_task(tmp_path):
    pytest.importorskip("tensorflow")
    logger = TensorBoard()
    logger.open(tmp_path, StartPoint(step=2))
    logger.log(Row(3, "train", None, {"loss": 1.0}))
    logger.log(Row(3, "validation", "t", {"loss": math.nan}))
    logger.close()
    assert [len(list((tmp_path / name).iterdir())) for name in ("train", "training_eval/t")] == [
        1
    ] * 2


class ListLogger:
    """A user's logger."""

    def open(self, workdir, start):
        self.rows = [(workdir.name, start.step)]

    def log(self, row):
        self.rows.append(row)

    def close(self):
        self.rows.append("closed")


def test_a_logger_of_ones_own_gets_every_row(tmp_path):
    mine = ListLogger()
    found = reporter.Reporter(
        workdir=tmp_path,
        start=StartPoint(step=3),
        steps=9,
        batch_size=2,
        started=0.0,
        loggers=[mine],
    )
    found.log_evaluation(4, TaskMetrics("t", "validation", {"loss": 2.0}))
    found.close()
    assert mine.rows == [(tmp_path.name, 3), (4, "validation", "t", {"loss": 2.0}), "closed"]
    assert [row["step"] for row in reporter.rows(tmp_path / "metrics.jsonl")] == [4]


def test_the_metrics_file_drops_rows_after_the_checkpoint_and_cut_lines(tmp_path):
    first = opened(tmp_path)
    for step in (1, 2, 3):
        first.log(Row(step, "train", None, {"loss": float(step)}))
    first.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "spl')
    second = opened(tmp_path, step=2)
    second.log(Row(3, "validation", "t", {"loss": math.nan}))
    second.close()
    assert reporter.rows(tmp_path / "metrics.jsonl") == [
        {"step": 1, "split": "train", "loss": 1.0},
        {"step": 2, "split": "train", "loss": 2.0},
        {"step": 3, "split": "validation", "task": "t", "loss": None},
    ]


def opened(folder, **start):
    """The logger of metrics.jsonl, going on from a point."""
    found = reporter.JSONLines()
    found.open(folder, StartPoint(**start))
    return found


def written(folder, *rows):
    """Writes a row for each (step, task); returns the lines."""
    found = opened(folder)
    for step, task in rows:
        found.log(Row(step, "validation" if task else "train", task or None, {"loss": 1.0}))
    found.close()
    return (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)


DAMAGE = {
    "not text": b'{"step": 2, "split": "tr\xff\xfe"}\n',
    "a number": b"3\n",
    "zeros": bytes(30) + b"\n",
    "another row": b'{"stop": 2, "split": "train"}\n',
    "cut": b'{"step": 2, "split": "train", "lo',
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_rows_are_left_out_and_told_in_one_line(tmp_path, capsys, name):
    lines = written(tmp_path, (1, ""), (2, ""))
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(lines[0] + DAMAGE[name])
    assert [row["step"] for row in reporter.rows(path)] == [1]
    opened(tmp_path, step=2, rows=2).close()
    said = capsys.readouterr().err
    assert said == (
        f"{path}: 1 of the rows up to step 2 are lost; damaged lines: 2; training continues\n"
    )
    assert path.read_bytes() == lines[0]


def test_a_cut_row_of_a_later_step_is_no_loss(tmp_path, capsys):
    lines = written(tmp_path, (1, ""), (2, ""), (3, ""))
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"".join(lines)[:-5])
    opened(tmp_path, step=2, rows=2).close()
    assert capsys.readouterr().err == ""
    assert path.read_bytes() == b"".join(lines[:2])
    path.unlink()
    opened(tmp_path, step=2, rows=2).close()
    assert "2 of the rows up to step 2 are lost; training continues" in capsys.readouterr().err


def test_rows_of_an_evaluation_that_is_repeated_are_dropped(tmp_path, capsys):
    lines = written(tmp_path, (2, "t"), (4, ""), (4, "t"))
    opened(tmp_path, step=4, is_evaluated=False, rows=2).close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b"".join(lines[:2])
    assert capsys.readouterr().err == ""
