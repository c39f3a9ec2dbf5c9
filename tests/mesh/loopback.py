"""Trains in several processes over loopback: the frameworks are imported once, then forked.

python -m tests.mesh.loopback FOLDER     prints JSON, one record a run
"""

import functools
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm.checkpoint import Store
from lm.cli.main import main as command
from tests.mesh.forked import ended, started
from tests.reliability import experiment

HALF, END = 4, 8
CLUSTER = """\
from __gin__ import dynamic_registration
from lm import train
from lm.mesh import cluster
from lm.optim import adamw
from lm.optim import schedules
include 'mesh/data.gin'
CLUSTER = @cluster.addressed
BATCH_SIZE = 8
schedules.Cosine.steps = 8
EVAL_PERIOD = 4
train.train.evaluations = []
train.train.microbatches = 1
adamw.adamw.average = None
train.train.samples = None
train.train.save_period = 4
train.train.log_period = 1
train.train.keep = None
"""


def train(workdir: Path, files: Sequence[Path], steps: int, processes: int) -> list[int]:
    """Returns the exit statuses of the processes of one run."""
    words = ["train", f"--workdir={workdir}", f"--gin.TRAIN_STEPS={steps}"]
    words += [f"--gin_file={file}" for file in files]
    return ended(started([functools.partial(command, words)] * processes, workdir))


def told(workdir: Path) -> dict[str, Any]:
    """Returns what a run has come to: its last checkpoint's batches and the losses by step."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    newest = Store(workdir).newest()
    assert newest is not None
    return {
        "step": newest[1].step,
        "batches": newest[1].metadata["batches"],
        "losses": {row["step"]: row["loss"] for row in rows if row["split"] == "train"},
    }


def run(folder: Path) -> dict[str, Any]:
    os.environ["LM_CACHE_DIR"] = str(folder / "cache")
    files = [experiment.write(folder / "data", steps=END), folder / "data" / "mesh.gin"]
    files[1].write_text(CLUSTER)
    codes = {"one": train(folder / "one", files, END, 1)}
    codes["two"] = train(folder / "two", files, HALF, 2)
    for name, processes in (("two_then_one", 1), ("two_then_four", 4)):
        shutil.copytree(folder / "two", folder / name)
        codes[name] = train(folder / name, files, END, processes)
    return {name: {"codes": found, **told(folder / name)} for name, found in codes.items()}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]))))
