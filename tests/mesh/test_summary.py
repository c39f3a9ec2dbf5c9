"""`lm summary --mesh`, whatever engine is asked for: bytes on a device from shapes alone."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lm.mesh.axes import AXES, Layout, lay_out

TREE = Path(__file__).parents[1] / "golden" / "trees" / "t5_1_1_small.txt"
RULES = [(name, "model") for name in ("vocab", "mlp", "heads", "joined_kv")]
COMMAND = (
    "lm summary --mesh --json --gin_file=models/t5_1_1/small.gin --gin_file=optim/adafactor.gin "
    "--gin_file=mesh/data_model.gin --gin.DATA_DEVICES=8 --gin.MODEL_DEVICES=2 --batch_size=8 "
    "--length=16 --device_memory=16"
)


def share(layout: Layout) -> int:
    return math.prod(layout.shape) // (2 if any(layout.split) else 1)


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
    matches = [re.fullmatch(r"(\S+) \[(.*)\]", line) for line in TREE.read_text().splitlines()]
    shapes = {m[1]: tuple(int(n) for n in m[2].split(",") if n.strip()) for m in matches if m}
    laid = lay_out(shapes, table=AXES, rules=RULES, sizes={"model": 2}).values()
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
