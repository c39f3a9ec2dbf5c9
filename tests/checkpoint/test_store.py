"""What a run keeps, what it goes back to, and how a failed save ends it."""

import numpy as np
import pytest

from lm.checkpoint import CheckpointError, DamagedError, Store, best, find, latest, store
from lm.errors import ConfigError


def fill(place, metrics, *, keep=None):
    """Saves one checkpoint per metric, at steps 1, 2, ..."""
    made = Store(place, keep=keep)
    for step, metric in enumerate(metrics, start=1):
        groups = {"weights": {"w": np.full(3, step, "float32")}}
        made.save(step=step, groups=groups, data_state=b"", metadata={"metric": metric})
    made.close()
    return made.folder


def damage(folder, step):
    path = folder / str(step) / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_the_last_and_the_best_are_kept(tmp_path):
    folder = fill(tmp_path, [3.0, 1.0, 2.0, 4.0, 5.0], keep=2)
    assert store.steps(folder) == [2, 4, 5]
    assert best(tmp_path) == folder / "2"
    assert latest(tmp_path) == folder / "5"


def test_without_a_metric_the_newest_is_the_best(tmp_path):
    folder = fill(tmp_path, [None, None])
    assert best(tmp_path) == folder / "2"


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path):
    folder = fill(tmp_path, [None] * 3)
    damage(folder, 3)
    warnings = []
    found, manifest = Store(tmp_path, warn=warnings.append).newest()
    assert (found, manifest.step) == (folder / "2", 2)
    assert len(warnings) == 1
    assert "checkpoint 3 is damaged" in warnings[0]
    assert "weights.safetensors" in warnings[0]


def test_a_damaged_checkpoint_is_replaced_by_the_next_save_of_its_step(tmp_path):
    folder = fill(tmp_path, [None] * 2)
    damage(folder, 2)
    fill(tmp_path, [None] * 2)
    assert latest(tmp_path) == folder / "2"


def test_only_damaged_checkpoints_are_an_error_and_none_is_none(tmp_path):
    assert Store(tmp_path).newest() is None
    damage(fill(tmp_path, [None]), 1)
    with pytest.raises(DamagedError, match=r"all checkpoints .* are damaged"):
        Store(tmp_path, warn=lambda line: None).newest()


def test_what_a_killed_process_left_is_ignored_and_cleaned(tmp_path):
    folder = fill(tmp_path, [None])
    (folder / ".tmp-2-99").mkdir()
    (folder / ".tmp-2-99" / "weights.safetensors").write_bytes(b"half")
    made = Store(tmp_path)
    assert made.newest()[1].step == 1
    made.clean()
    assert [path.name for path in folder.iterdir()] == ["1"]


def test_a_failed_save_is_raised_by_the_next_call(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise CheckpointError("disk full")

    monkeypatch.setattr(store, "write", fail)
    for end in (Store.close, Store.wait):
        made = Store(tmp_path)
        made.save(step=1, groups={}, data_state=b"", metadata={})
        with pytest.raises(CheckpointError, match="disk full"):
            end(made)
    made.save(step=1, groups={}, data_state=b"", metadata={})
    with pytest.raises(CheckpointError, match="disk full"):
        made.save(step=2, groups={}, data_state=b"", metadata={})


def test_a_checkpoint_is_found_by_run_or_folder(tmp_path):
    folder = fill(tmp_path, [1.0, 2.0])
    assert find(tmp_path) == find(folder / "2") == folder / "2"
    assert find(tmp_path, "best") == find(tmp_path, "1") == folder / "1"
    with pytest.raises(CheckpointError, match=r"no checkpoint 7; it has \[1, 2\]"):
        find(tmp_path, "7")
    with pytest.raises(CheckpointError, match="has no checkpoint"):
        find(tmp_path / "elsewhere")


def test_a_url_is_refused():
    with pytest.raises(ConfigError, match="gs://bucket/run: give a local folder"):
        Store("gs://bucket/run")
