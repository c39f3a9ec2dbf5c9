"""A small module to configure, and gin files beside it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lm import config
from lm.config.scanner import scan

PARTS = '''
"""Something to configure that needs no framework."""

import os
import os.path as somewhere
from collections.abc import Callable, Mapping, Sequence
from os import system
from typing import Any, Literal

from lm.ranges import PositiveInt, UnitFloat


class Layer:
    def __init__(
        self, *, width: int, rate: float = 0.0, name: str | None = None,
        kind: Literal["wide", "deep"] = "wide", sizes: Sequence[int] = (),
        table: dict | None = None, lengths: Mapping[str, PositiveInt] | None = None,
        drop: UnitFloat = 0.0,
    ):
        self.width, self.rate, self.name = width, rate, name


class Model:
    def __init__(
        self, *, layer: Callable[..., Layer], depth: int = 1, head: Layer | None = None,
        parts: Sequence[Callable[..., Layer]] = (),
    ):
        self.layers = [layer() for _ in range(depth)]


def train(*, model: Any = None, steps: int = 1, fast: bool = False, hooks: Sequence[Any] = ()):
    return model, steps, hooks


def unused(*, value: int = 0):
    return value


def open_door(**settings):
    return settings


CONSTANT = 3
'''

GOOD = """\
# A run.
from __gin__ import dynamic_registration
import parts
STEPS = 10
parts.train.model = @big/parts.Model()
parts.train.steps = %STEPS
big/parts.Model.layer = @parts.Layer
parts.Layer.width = 8
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that holds `parts.py`."""
    (tmp_path / "parts.py").write_text(PARTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "parts", raising=False)
    forget_parts()
    return tmp_path


def forget_parts() -> None:
    """Takes the previous test's `parts` out of gin's registry: its classes are other objects."""
    from gin import config as gin_config

    stale = [c for c in gin_config._INVERSE_REGISTRY.values() if c.selector.startswith("parts.")]
    for configurable in stale:
        gin_config._INVERSE_REGISTRY.pop(configurable.wrapped)
        gin_config._REGISTRY.pop(configurable.selector)


Load = Callable[..., config.Config]


@pytest.fixture
def load(workspace: Path) -> Load:
    """Loads gin text as `run.gin`, with `parts` admitted and `parts.train` called."""

    def load_text(text: str, *bindings: str, **options: Any) -> config.Config:
        (workspace / "run.gin").write_text(text)
        options = {"modules": ["parts"], "roots": ["parts.train"], **options}
        return config.load(["run.gin"], bindings, **options)

    return load_text


@pytest.fixture
def scanned(workspace: Path) -> Callable[..., list[Any]]:
    """Scans gin text as `run.gin`, executing nothing."""

    def scan_text(text: str, *bindings: str) -> list[Any]:
        (workspace / "run.gin").write_text(text)
        return scan(["run.gin"], bindings, modules=["parts"]).bindings

    return scan_text
