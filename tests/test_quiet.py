"""The frameworks are imported without a word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lm
from lm.quiet import without_log_lines

CHATTER = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    "I0000 00:00:1795203241.245628    6110 port.cc:153] oneDNN custom operations are on.\n"
    "E0000 00:00:1795203245.463316    6110 cuda_platform.cc:52] failed call to cuInit\n"
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild.\n"
    "normalizer.cc(51) LOG(INFO) precompiled_charsmap is empty. use identity normalization.\n"
    "2025-01-01 00:00:00.123456: I tensorflow/core/platform/cpu.cc:1] text\n"
)
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


def test_log_lines_are_dropped_and_others_kept(capfd: pytest.CaptureFixture[str]) -> None:
    with without_log_lines():
        os.write(2, CHATTER.encode())
        os.write(2, b"F0000 00:00:1.2    1 check.cc:1] a fatal line\nplain words\n")
    shown = capfd.readouterr().err
    assert shown == "F0000 00:00:1.2    1 check.cc:1] a fatal line\nplain words\n"


def test_an_exception_passes_and_the_descriptor_returns(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with without_log_lines():
            os.write(2, CHATTER.encode())
            raise ImportError("broken")

    with pytest.raises(ImportError, match="broken"):
        fail()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
