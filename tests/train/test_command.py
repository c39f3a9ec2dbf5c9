"""`lm train` on real text: interrupted and gone on with, it equals the run left alone."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lm.checkpoint import read, verify
from tests.train.toy_run import untimed_rows

pytestmark = pytest.mark.slow

TINY = """\
# A tiny language model on the interpreter's own documentation, with all that has a state.
from __gin__ import dynamic_registration

include 'runs/pretrain.gin'
include 'models/gpt2/small.gin'
include 'objectives/token_prediction.gin'
include 'features/language_model.gin'
include 'data/python_docs.gin'
include 'optim/adamw.gin'
include 'tiny.gin'

from lm import train
from lm.optim import adamw

MAX_SEQUENCE_LENGTH = 128
VOCABULARY_SIZE = 260
TASK_FEATURE_LENGTHS = {'targets': 64}
BATCH_SIZE = 8
TRAIN_STEPS = 12
EVAL_STEPS = 2
EVAL_PERIOD = 6
DROPOUT_RATE = 0.1
WARMUP_STEPS = 4
adamw.adamw.average = 0.9
train.train.microbatches = 2
train.train.log_period = 4
train.train.save_period = 3
train.train.keep = 2
train.train.samples = None
"""


@pytest.fixture
def command(tmp_path):
    """Returns the words of the command without its run folder."""
    config = tmp_path / "tiny.gin"
    config.write_text(TINY)
    return [sys.executable, "-m", "lm", "train", f"--gin_file={config}"]


def test_interrupted_and_whole_runs_are_equal_bit_for_bit(command, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    # What the second run resumes with was compiled before and read from the disk.
    without_cache = os.environ | {"LM_COMPILATION_CACHE": "off"}
    words = [*command, f"--workdir={whole}"]
    subprocess.run(words, check=True, capture_output=True, env=without_cache)
    process = subprocess.Popen([*command, f"--workdir={parts}"], stderr=subprocess.PIPE, text=True)
    with process:
        while not process.stderr.readline().startswith("step 4/12"):
            assert process.poll() is None
        process.terminate()
        assert "saved; the same command resumes" in process.stderr.read()
    assert process.returncode == 143
    done = subprocess.run(
        [*command, f"--workdir={parts}"], check=True, capture_output=True, text=True
    )
    assert "resumed from step" in done.stderr
    assert untimed_rows(parts) == untimed_rows(whole)
    a, b = (folder / "checkpoints" / "12" for folder in (whole, parts))
    assert verify(a).tensors == verify(b).tensors
    for kind in verify(a).tensors:
        for name, array in read(a, kind).items():
            np.testing.assert_array_equal(read(b, kind)[name], array, err_msg=name)
    kept = {int(path.name) for path in Path(parts, "checkpoints").iterdir()}
    assert kept == {9, 12}
    refused = subprocess.run(
        [*command, f"--workdir={parts}", "--gin.LEARNING_RATE=0.5"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    machine, error, change, *ways = refused.stderr.splitlines()
    assert machine.startswith("equal bits are promised on: ")
    assert error.startswith("lm: error: ") and error.endswith("other settings; 1 differ")
    assert change.endswith("Cosine.peak was 0.0006, is 0.5")
    assert ways[1].endswith("--allow-change=peak")
    allowed = [*command, f"--workdir={parts}", "--gin.LEARNING_RATE=0.5", "--check"]
    allowed += ["--gin.train.train.allow_change=['peak']"]
    checked = subprocess.run(allowed, check=False, capture_output=True, text=True)
    assert (checked.returncode, "from step 12 on" in checked.stdout) == (0, True)
