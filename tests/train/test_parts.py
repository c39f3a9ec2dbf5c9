"""The small parts of a run: lock, clock, events, metrics, progress, metadata, plots."""

import importlib
import io
import json
import math
import os
import shutil
import subprocess
import sys
import types

import pytest

from lm import config
from lm.errors import UserError
from lm.lock import check, lock
from lm.train import metadata, progress, reporter, state
from lm.train.evaluation import metrics
from lm.train.goodput import Clock, age
from lm.train.progress import Progress


def test_a_second_trainer_is_refused_with_the_first_ones_number(tmp_path):
    # The same lock without lm, whose import takes seconds.
    code = (
        "import fcntl, json, os, sys; file = open(sys.argv[1] + '/lock', 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "json.dump({'pid': os.getpid(), 'host': 'here'}, file); file.flush()\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(UserError, match=f"in use by process {process.pid} on here"),
            lock(tmp_path),
        ):
            pass
        with pytest.raises(UserError, match=f"in use by process {process.pid} on here"):
            check(tmp_path)
        process.kill()
    check(tmp_path)
    with lock(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())["pid"] != process.pid


@pytest.mark.parametrize("name", ["lock", ".tmp-metrics.jsonl", "loss.png", "checkpoints"])
def test_a_run_folder_with_a_link_is_refused(tmp_path, name):
    target, run = tmp_path / "precious", tmp_path / "run"
    target.write_text("x")
    run.mkdir()
    (run / name).symlink_to(target)
    with pytest.raises(UserError, match=f"{name} is a link to {target}"), lock(run):
        pass
    assert target.read_text() == "x"


def test_a_file_is_never_written_through_a_link(tmp_path):
    target = tmp_path / "precious"
    target.write_text("x")
    (tmp_path / ".tmp-metrics.jsonl").symlink_to(target)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "split": "train"}\n')
    reporter.rewind(tmp_path / "metrics.jsonl", step=1, evaluated_step=1)
    assert target.read_text() == "x"
    assert reporter.rows(tmp_path / "metrics.jsonl") == [{"step": 1, "split": "train"}]


def test_the_clock_leaves_out_what_is_done_beside_the_steps(monkeypatch):
    now = iter([0.0, 0.0, 1.0, 6.0, 6.0, 8.0, 8.0, 10.0, 10.0, 10.0, 10.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    clock = Clock()
    with clock.exclude("compilation"):
        pass
    for _ in range(2):
        with clock.exclude(""):
            pass
    rates = clock.window(waited=1.0)
    assert rates["timing/steps_per_second"] == pytest.approx(2 / 5)
    assert rates["timing/input_wait"] == pytest.approx(1 / 5)
    assert rates["timing/compilation_seconds"] == 5.0
    assert 0 < rates["timing/first_step_seconds"] == pytest.approx(age(), abs=60)


@pytest.mark.parametrize(
    ("old", "is_warned"),
    [({"t": "a"}, False), ({"t": "b"}, True), ({"t": "b", "u": "a"}, False), ({}, False)],
)
def test_a_checkpoint_of_another_tokenizer_is_told(tmp_path, capsys, old, is_warned):
    def data(tokenizers):
        features = {task: {"inputs": {"vocabulary": name}} for task, name in tokenizers.items()}
        return {"features": features} if features else {}

    state.warn_of_tokenizers(data(old), data({"mine": "a"}), tmp_path)
    assert ("was trained with another tokenizer" in capsys.readouterr().err) == is_warned


VALUES = {
    "loss": 2.0,
    "accuracy": 0.5,
    "skipped": 0,
    "timing/target_tokens_per_second": 1234.0,
    "timing/steps_per_second": 2.0,
    "timing/input_wait": 0.25,
}


def test_progress_is_one_line_a_log_step_where_no_terminal_is():
    stream = io.StringIO()
    progress = Progress(step=0, steps=100, stream=stream)
    progress.advance()
    progress.show(40, VALUES)
    progress.close()
    line = (
        "step 40/100: loss 2.0000, accuracy 0.500, 1.23k tokens/s, 25% waiting for data, 0m30s left"
    )
    assert stream.getvalue() == line + "\n"


def test_progress_is_a_bar_on_a_terminal():
    stream = io.StringIO()
    stream.isatty = lambda: True
    progress = Progress(step=10, steps=100, stream=stream)
    progress.advance()
    progress.show(11, VALUES)
    progress.close()
    assert "11/100" in stream.getvalue()
    assert "loss 2.0000" in stream.getvalue()


@pytest.mark.parametrize("is_bar", [True, False])
def test_a_terminal_that_is_gone_ends_no_run(is_bar):
    """The state is still to be saved after SIGHUP."""
    controller, terminal = os.openpty()
    with os.fdopen(terminal, "w") as stream:
        progress = Progress(step=0, steps=4, stream=stream)
        os.close(controller)
        if not is_bar:
            progress._bar = None
        progress.advance()
        progress.show(1, VALUES)
        progress.log("stopped")
        progress.close()
        nowhere = os.stat(os.devnull).st_rdev
        assert os.fstat(stream.fileno()).st_rdev == nowhere  # as later lines and the last flush


def test_metrics_are_exact_over_the_sums():
    found = metrics({"loss": (12.0, 8.0), "cross_entropy": (8.0, 8.0)}, text_size=16)
    assert found["loss"] == 1.5
    assert found["token_perplexity"] == pytest.approx(math.e)
    assert found["bits_per_byte"] == pytest.approx(8 / math.log(2) / 16)


def test_metadata_that_decide_nothing_do_not_count():
    assert metadata.HARMLESS.match("lm.train.train.train_steps")
    assert metadata.HARMLESS.match("lm.train.train.eval_period")
    assert metadata.HARMLESS.match("lm.data.batching.evaluation_batches.evaluation_batches.limit")
    assert metadata.HARMLESS.match("lm.data.user_tasks.user.text_task.train")
    assert metadata.HARMLESS.match("lm.data.vocabulary.sentencepiece_vocabulary.name_or_path")
    assert not metadata.HARMLESS.match("lm.data.user_tasks.user.text_task.held_out")
    assert not metadata.HARMLESS.match("lm.train.train.optimizer")
    assert not metadata.HARMLESS.match("lm.optim.schedules.Cosine.steps")


def test_a_change_is_refused_unless_it_is_allowed(tmp_path):
    old = {"config": {"a.b.rate": "1"}, "data": {"files": {"x": 1}}, "run": {}}
    new = {"config": {"a.b.rate": "2"}, "data": {"files": {"x": 1}}, "run": {}}
    with pytest.raises(UserError, match="was started with other settings; 1 differ") as caught:
        metadata.check_unchanged(old, new, allow_change=[], run=tmp_path)
    assert caught.value.__notes__ == [
        "a.b.rate was 1, is 2",
        "a new run:     give another --workdir",
        "go on anyway:  --allow-change=rate",
        f"start over:    remove {tmp_path}",
    ]
    assert metadata.check_unchanged(old, new, allow_change=["a.*"], run=tmp_path) == ["a.b.rate"]
    assert metadata.check_unchanged(old, new, allow_change=["rate"], run=tmp_path) == ["a.b.rate"]
    assert metadata.check_unchanged(old, old, allow_change=[], run=tmp_path) == []


def test_of_changed_data_only_what_differs_is_shown_old_and_new(tmp_path):
    old = {"data": {"sources": {"t": {"files": [{"file": "a", "sha256": "x", "size": 1}]}}}}
    new = {"data": {"sources": {"t": {"files": [{"size": 1, "sha256": "y", "file": "a"}]}}}}
    new |= {"config": {}, "run": {"more": True}}
    with pytest.raises(UserError) as caught:
        metadata.check_unchanged(old, new, allow_change=[], run=tmp_path)
    assert caught.value.__notes__[:2] == [
        "more was -, is true",
        "sources.t.files.0.sha256 was x, is y",
    ]
    assert "--allow-change=more --allow-change=sources" in caught.value.__notes__[3]


def test_of_many_changes_the_first_are_shown_and_one_flag_admits_all(tmp_path):
    old, new = ({"config": {f"a.x{n}": f"{n + i}" for n in range(9)}} for i in range(2))
    old, new = ({"data": {}, "run": {}, **values} for values in (old, new))
    with pytest.raises(UserError, match="9 differ") as caught:
        metadata.check_unchanged(old, new, allow_change=[], run=tmp_path)
    notes = caught.value.__notes__
    assert len(notes) == 9
    assert notes[5] == "and 4 more"
    assert notes[7] == "go on anyway:  --allow-change='*'"
    assert len(metadata.check_unchanged(old, new, allow_change=["*"], run=tmp_path)) == 9


def test_the_machine_is_known():
    machine = metadata.machine()
    assert machine["cores"] >= 1
    assert machine["versions"]["keras"]


def test_a_part_of_the_code_is_known_by_what_its_files_hold(tmp_path, monkeypatch):
    before = metadata.code()
    assert before == metadata.code()
    assert {"lm", "lm.nn", "lm.train"} <= before.keys()
    shutil.copytree(metadata.LM, tmp_path / "lm", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(metadata, "LM", tmp_path / "lm")
    assert metadata.code() == before, "it does not matter where the files lie"
    with (tmp_path / "lm" / "nn" / "attention.py").open("a") as file:
        file.write("# another line\n")
    changed = {name for name, (_, _) in metadata.changes(before, metadata.code()).items()}
    assert changed == {"lm.nn"}


def test_the_code_of_the_tasks_that_gin_files_name_counts(tmp_path, monkeypatch):
    importlib.import_module("tasks.support")
    for name in ("tasks.mine", "yours"):
        module = types.ModuleType(name)
        module.__file__ = str(tmp_path / f"{name}.py")
        monkeypatch.setitem(sys.modules, name, module)
        (tmp_path / f"{name}.py").write_text("X = 1\n")
    named = config.Config((), ("lm.nn", "tasks.mine", "yours"))
    monkeypatch.setattr(config, "loaded", lambda: named)
    before = metadata.code()
    assert {"tasks.mine", "tasks.support", "yours"} <= before.keys()
    (tmp_path / "yours.py").write_text("X = 2\n")
    assert metadata.changes(before, metadata.code()).keys() == {"yours"}


def test_the_picture_has_a_curve_for_training_and_every_task(tmp_path):
    rows = [{"step": i, "split": "train", "loss": 5.0 - i / 50} for i in range(1, 101)]
    rows += [{"step": i, "split": "validation", "task": "t", "loss": 4.0} for i in (50, 100)]
    progress.plot(rows, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").stat().st_size > 10_000
    progress.plot([], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_pictures_of_several_runs(tmp_path):
    rows = [{"step": step, "split": "train", "loss": 9 / step} for step in range(1, 30)]
    progress.plot_by_time({"gpt": (rows, 2.0), "gau": (rows[:9], 1.0)}, tmp_path / "two.png")
    assert (tmp_path / "two.png").read_bytes().startswith(b"\x89PNG")
    progress.plot_by_time({"gpt": ([], 2.0)}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_a_metric_of_several_runs_is_one_picture(tmp_path):
    train = [{"step": n, "split": "train", "loss": 5.0 - n} for n in (1, 2)]
    task = {"step": 2, "split": "validation", "task": "poems", "loss": 3.5, "bleu": 7.0}
    runs = {"a": [*train, task], "b": train}
    last = progress.plot_runs(runs, tmp_path / "runs.png")
    assert last == [("a", 2, "3.0000"), ("a poems", 2, "3.5000"), ("b", 2, "3.0000")]
    assert (tmp_path / "runs.png").stat().st_size > 1000
    assert progress.plot_runs(runs, tmp_path / "bleu.png", "bleu") == [("a poems", 2, "7.0000")]
    assert progress.plot_runs(runs, tmp_path / "none.png", "rouge") == []
    assert not (tmp_path / "none.png").exists()
