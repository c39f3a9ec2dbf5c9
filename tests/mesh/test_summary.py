"""`lm summary --mesh`, whatever engine is asked for: bytes on a device from the compiled step."""

import json
import math
import os
import subprocess
import sys
from typing import Any

import keras
import pytest

from lm.abstract import on_shapes
from lm.config import load
from lm.mesh.axes import Layout, declared, lay_out

RULES = [(name, "model") for name in ("vocab", "mlp", "heads", "joined_kv")]
STEP = (
    "lm summary --mesh --json --gin_file=models/t5_1_1/small.gin --gin_file=optim/adafactor.gin "
    "--gin_file=mesh/data_model.gin --gin.DATA_DEVICES=8 --gin.MODEL_DEVICES=2 --batch_size=8 "
    "--length=16 --device_memory=16"
)
XXL = (
    "lm summary --mesh --json --gin_file=models/t5_1_1/xxl.gin --gin_file=optim/adafactor.gin "
    "--gin_file=mesh/data_model.gin --gin.DATA_DEVICES=2 --gin.MODEL_DEVICES=8 --batch_size=32 "
    "--length=512 --device_memory=32"
)
RUN = (
    "lm summary --mesh --json --gin_file=runs/pretrain.gin --gin_file=models/gpt2/architecture.gin "
    "--gin_file=objectives/token_prediction.gin --gin_file=features/language_model.gin "
    "--gin_file=optim/adamw.gin --gin_file=mesh/data.gin --gin.DATA_DEVICES=2 "
    "--gin.NUM_LAYERS=4 --gin.HIDDEN_DIM=8 --gin.INTERMEDIATE_DIM=16 --gin.NUM_HEADS=2 "
    "--gin.VOCABULARY_SIZE=64 --gin.TRAIN_STEPS=1 --gin.BATCH_SIZE=8 "
    "--gin.MIXTURE_OR_TASK_NAME=none --gin.TASK_FEATURE_LENGTHS={'targets':64}"
)

REMAT = """
from __gin__ import dynamic_registration
from lm.nn import residual
from lm.nn import stack
decoder/stack.Stack.layers = [@attention/residual.Remat, @feedforward/residual.Remat]
attention/residual.Remat.branch = @decoder/attention/residual.Residual
feedforward/residual.Remat.branch = @decoder/feedforward/residual.Residual
"""


def share(layout: Layout) -> int:
    return math.prod(layout.shape) // (2 if any(layout.split) else 1)


def small() -> Any:
    """Returns T5 1.1 Small, built on shapes."""
    with on_shapes("MODEL"):
        model = load(["models/t5_1_1/small.gin"], roots=["MODEL"]).value("MODEL")()
        tokens = keras.KerasTensor((1, 16), "int32")
        model({"encoder_input_tokens": tokens, "decoder_input_tokens": tokens})
    return model


def is_factored(shape: tuple[int, ...]) -> bool:
    return len(shape) > 1 and min(shape) >= 128


def summary(command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"KERAS_BACKEND": "tensorflow"}
    words = [sys.executable, "-m", *command.split()]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


def summary_row(command: str) -> dict[str, Any]:
    done = summary(command)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_weights_and_slots_are_those_of_one_device():
    found = summary_row(STEP)
    model = small()
    shapes = {v.path: tuple(v.shape) for v in model.trainable_variables}
    laid = lay_out(shapes, axes=declared(model), rules=RULES, sizes={"model": 2}).values()
    weights = 4 * sum(map(share, laid))
    assert found["devices"] == 16
    assert found["weights"] == weights + 4 * sum(
        math.prod(v.shape) for v in model.non_trainable_variables
    )
    # Adafactor: a row and a column of every large matrix, whole; else a number for each; a counter.
    slots = sum(sum(x.shape) if is_factored(x.shape) else share(x) for x in laid)
    assert found["slots"] == 4 * slots + 4
    # Beside them a step is given one row of the batch and the meter.
    assert 0 < found["arguments"] - found["weights"] - found["slots"] < 1000
    assert found["temporaries"] > weights  # the gradients alone
    assert found["verdict"] == "fits on 16 x 16 GB"


@pytest.mark.slow
def test_a_run_is_compiled_as_it_is_configured():
    whole = summary_row(RUN)
    parts = summary_row(f"{RUN} --gin.train.train.microbatches=4")
    assert parts["arguments"] == whole["arguments"]
    assert parts["temporaries"] < whole["temporaries"]
    assert summary_row(f"{RUN} --gin.DTYPE_POLICY=bfloat16")["weights"] < whole["weights"]


@pytest.mark.slow
def test_what_is_rematerialised_is_not_counted_as_saved(tmp_path):
    file = tmp_path / "remat.gin"
    file.write_text(REMAT)
    assert summary_row(f"{RUN} --gin_file={file}")["temporaries"] < summary_row(RUN)["temporaries"]


@pytest.mark.slow
def test_the_largest_t5_is_compiled_for_sixteen_devices():
    found = summary_row(XXL)
    assert found["weights"] == pytest.approx(4 * 11_135_332_352 / 8, rel=1e-3)
    assert found["verdict"].startswith("does not fit on 16 x 32 GB: rematerialise")


@pytest.mark.slow
def test_what_is_missing_or_cannot_be_split_is_said_at_once():
    gpt2 = "--gin_file=models/gpt2/small.gin"
    adafactor = "--gin_file=optim/adafactor.gin"
    for command, said in {
        gpt2: "--gin_file=mesh/data_model.gin",
        f"{gpt2} --gin_file=mesh/data.gin": adafactor,
        f"{gpt2} {adafactor} --gin_file=mesh/data.gin": "--gin.DATA_DEVICES=4",
        f"--gin_file=models/t5_1_1/xxl.gin {adafactor} --gin_file=mesh/data_model.gin "
        "--gin.DATA_DEVICES=1 --gin.MODEL_DEVICES=128": "64 along 'heads' do not divide",
    }.items():
        done = summary(f"lm summary --mesh {command}")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert said in done.stderr
