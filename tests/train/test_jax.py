"""The tests of resuming once more on JAX, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() == "jax", reason="this process is the JAX run")
def test_a_run_resumes_on_jax():
    tests = [str(Path(__file__).with_name(name)) for name in ("test_resume.py", "test_carry.py")]
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", *tests]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
