"""`lm summary --mesh`, whatever engine is asked for: bytes on a device from shapes alone."""

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
COMMAND = (
    "lm summary --mesh --json --gin_file=models/t5_1_1/small.gin --gin_file=optim/adafactor.gin "
    "--gin_file=mesh/data_model.gin --gin.DATA_DEVICES=8 --gin.MODEL_DEVICES=2 --batch_size=8 "
    "--length=16 --device_memory=16"
)


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


@pytest.mark.slow
def test_weights_and_slots_are_counted_on_one_device():
    done = summary(COMMAND)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    model = small()
    shapes = {v.path: tuple(v.shape) for v in model.trainable_variables}
    laid = lay_out(shapes, axes=declared(model), rules=RULES, sizes={"model": 2}).values()
    weights = 4 * sum(map(share, laid))
    assert found["devices"] == 16
    assert found["rows"] == 1
    assert found["weights"] == found["gradients"] == weights
    # Adafactor: a row and a column of every large matrix, whole; else a number for each; a counter.
    slots = sum(sum(x.shape) if is_factored(x.shape) else share(x) for x in laid)
    assert found["slots"] == 4 * slots + 4
    assert 0 < found["activations_remat"] < found["activations"]
    assert found["verdict"] == "fits on 16 x 16 GB"


@pytest.mark.slow
def test_a_summary_without_a_mesh_or_its_size_says_what_to_give():
    done = summary("lm summary --mesh --gin_file=models/t5_1_1/small.gin")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--gin_file=mesh/data_model.gin" in done.stderr
    done = summary("lm summary --mesh --gin_file=models/gpt2/small.gin --gin_file=mesh/data.gin")
    assert done.returncode == 2
    assert "--gin.DATA_DEVICES=4" in done.stderr
