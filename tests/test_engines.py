"""TensorFlow and JAX agree on the same weights: outputs and gradients of the whole catalogue."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.answers import answers
from tests.catalogue import BRANCHES, MODELS
from tests.engine import BACKEND, assert_near

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
NAMES = [case.name for case in [*BRANCHES, *MODELS]]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The answers of this engine and, from another process, those of JAX."""
    if BACKEND == "jax":
        pytest.skip("compared with JAX where another engine runs")
    file = tmp_path_factory.mktemp("engines") / "jax.npz"
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(ROOT / "tests" / "answers.py"), str(file)],
        env=environment,
        stderr=subprocess.PIPE,
    ) as other:
        ours = answers()
        _, errors = other.communicate()
    assert other.returncode == 0, errors.decode()[-2000:]
    with np.load(file) as theirs:
        return ours, dict(theirs)


@pytest.mark.parametrize("name", NAMES)
def test_engines_agree(both, name):
    ours, theirs = ({k: v for k, v in one.items() if k.startswith(f"{name}:")} for one in both)
    assert ours.keys() == theirs.keys()
    for path, array in ours.items():
        assert_near(theirs[path], array, 1e-5)
