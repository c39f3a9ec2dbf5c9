"""The frameworks are imported without a word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lm

ROOT = Path(lm.__file__).parent.parent


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_nothing_but_python_speaks(backend: str) -> None:
    code = (
        "from lm import quiet; quiet.install(); import tensorflow as tf, seqio, keras;"
        "f = tf.function(lambda x: x * x, jit_compile=True); f(tf.ones(3));"
        "print(keras.ops.sum(keras.ops.ones(3)), tf.config.get_visible_devices('GPU'))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    environment["KERAS_BACKEND"] = backend
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.stderr == ""
    assert "3.0" in done.stdout
