"""Nothing that a gin file can name does anything but compute; see `tests.config.sweep`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lm import parts
from tests.config import sweep

ROOT = Path(__file__).parents[2]
# What writes, removes or starts something, and is no part.
DOERS = [
    "lm.bench.peak._installed",
    "lm.disk.make",
    "lm.disk.remove",
    "lm.disk.replace",
    "lm.reliability.doctor.writable",
    "lm.reliability.trial._run",
    "lm.train.reporter.rewind",
    "lm.train.tensorboard.EventWriter",
]
LEFT = {"file", "folder", "folder/file", "lure.py"}


def swept(workspace: Path, *roots: str) -> dict[str, Any]:
    """Sweeps in a process of its own: tasks are registered, signals and modules changed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.config.sweep", *roots],
        cwd=workspace,
        env=os.environ | {"PYTHONPATH": str(ROOT), "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def changed(workspace: Path) -> set[str]:
    """Returns what is not as the lures were laid out, the cache aside."""
    found = {str(path.relative_to(workspace)) for path in workspace.rglob("*")}
    found = {path for path in found if path.split("/")[0] not in ("cache", "__pycache__")}
    spoilt = {
        name for name in ("file", "folder/file") if (workspace / name).read_text() != "precious\n"
    }
    return found ^ LEFT | spoilt


@pytest.mark.slow
def test_no_part_of_the_package_does_anything(tmp_path: Path) -> None:
    found = swept(tmp_path, *sweep.OWN_ROOTS)
    assert found["deeds"] == {}
    assert changed(tmp_path) == set()
    named = sum(use is not parts.Use.ENTRY for use in parts.declared().values())
    assert len(found["called"]) >= max(named, 100)


@pytest.mark.slow
def test_nothing_of_keras_does_anything(tmp_path: Path) -> None:
    found = swept(tmp_path, "keras")
    assert found["deeds"] == {}
    assert changed(tmp_path) == set()
    assert len(found["called"]) > 200


def test_the_sweep_sees_what_the_package_does(tmp_path: Path) -> None:
    found = swept(tmp_path, *DOERS)
    assert set(found["deeds"]) == set(DOERS)
