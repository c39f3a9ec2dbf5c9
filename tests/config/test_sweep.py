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
LEFT = {"file", "folder", "folder/file", "lure.py"}


def swept(place: Path, *roots: str) -> dict[str, Any]:
    """Sweep in a process of its own: tasks are registered, signals and modules changed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.config.sweep", *roots],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT), "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def changed(place: Path) -> set[str]:
    """Return what is not as the lures were laid out, the cache aside."""
    found = {str(path.relative_to(place)) for path in place.rglob("*")}
    found = {path for path in found if path.split("/")[0] not in ("cache", "__pycache__")}
    spoilt = {
        name for name in ("file", "folder/file") if (place / name).read_text() != "precious\n"
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


def test_the_sweep_sees_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = sweep.lures(tmp_path)
    for deed in (open_for_writing, remove, start):
        assert sweep.deeds_of(deed, values), deed


def open_for_writing(path: str) -> None:
    """Write."""
    Path(path).write_text("x")


def remove(*, path: str, missing_ok: bool = True) -> None:
    """Remove."""
    Path(path).unlink(missing_ok=missing_ok)


def start(command: list[str] = ()) -> None:
    """Start a process."""
    subprocess.run(command, check=False)
