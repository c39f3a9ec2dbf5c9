"""Comparison of pre-training methods at equal compute, by the scores after fine-tuning.

Every row is pre-trained for the same number of FLOPs; then its weights are fine-tuned on each task,
once per seed. All are ordinary runs, which can be killed and resumed.

    workdir/<row>/steps.json             number of pre-training steps for the given FLOPs
    workdir/<row>/pretrained             the pre-training run
    workdir/<row>/<task>/<seed>          a fine-tuning run
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lm import checkpoint
from lm.abstract import on_shapes, specs
from lm.engines.flops import TRAINING_PASSES, matmul_flops
from lm.errors import UserError
from lm.experiments import command
from lm.objectives.objective import initial_carry

FINISHED = "operative_config.gin"  # the last file that a run writes


class Row(NamedTuple):
    """A row of the comparison.

    Attributes:
        name: of its folder.
        steps: of its pre-training.
        pretraining: flags of `lm train`, without --workdir and the number of steps; empty to
            fine-tune from random weights.
        finetuning: flags of `lm train`, without --workdir, task and seed.
    """

    name: str
    steps: int
    pretraining: tuple[str, ...]
    finetuning: tuple[str, ...]


def compare(
    rows: Sequence[Row], tasks: Sequence[str], seeds: int, workdir: Path
) -> list[dict[str, Any]]:
    """Runs what has not been run yet and returns the scores of every row.

    Args:
        rows: what to compare.
        tasks: names of classification tasks.
        seeds: number of fine-tuning runs per task, with seeds 0, 1, …
        workdir: folder of the runs.

    Returns:
        For each row its name, steps and, per task, the score of every seed: the mean of the task's
        own metrics on its validation split, after the last step.

    Raises:
        UserError: a run failed, after printing its own error.
    """
    found = []
    for row in rows:
        start = _pretrained(row, workdir / row.name / "pretrained")
        scores = {
            task: [
                _finetuned(row, start, task, seed, workdir / row.name / task / str(seed))
                for seed in range(seeds)
            ]
            for task in tasks
        }
        found.append({"name": row.name, "steps": row.steps, "scores": scores})
    return found


def planned(path: Path, flops: float, measure: Callable[[], int]) -> int:
    """Returns the number of steps for the given FLOPs; counted once, then read from the file.

    Args:
        path: the file.
        flops: of the whole pre-training.
        measure: returns the FLOPs of a step.

    Raises:
        UserError: the file was written for another number of FLOPs.
    """
    if not path.exists():
        step = measure()
        plan = {"flops": flops, "flops_per_step": step, "steps": max(1, round(flops / step))}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(plan) + "\n")
    plan = json.loads(path.read_text())
    if plan["flops"] != flops:
        raise UserError(
            f"{path}: planned for {plan['flops']:g} operations, not {flops:g}; give another "
            "--workdir"
        )
    return plan["steps"]


def step_flops(objective: Callable[[], Any], features: Mapping[str, Any]) -> int:
    """Returns the FLOPs of a training step: 3 times those of the matrix products of a forward pass.

    Everything that an objective computes counts: ELECTRA's generator and discriminator, XLNet's two
    streams and their memory. Nothing is allocated.

    Args:
        objective: factory of the objective.
        features: for each feature of a batch anything with its shape and dtype.
    """
    shapes = specs(features)
    with on_shapes("OBJECTIVE"):
        made = objective()
        made(shapes)  # creates the variables, so that the next call is counted alone
        carry = initial_carry(made, shapes)
        call = functools.partial(made, carry=carry) if carry else made
        return TRAINING_PASSES * matmul_flops(call, shapes)


def _pretrained(row: Row, folder: Path) -> Path | None:
    """Returns the finished pre-training run of a row; None if it has no pre-training."""
    if not row.pretraining:
        return None
    if not (folder / FINISHED).exists():
        flags = [f"--gin.{name}={row.steps}" for name in ("TRAIN_STEPS", "EVAL_PERIOD")]
        command.run("train", *row.pretraining, *flags, f"--workdir={folder}", what=row.name)
    return folder


def _finetuned(row: Row, start: Path | None, task: str, seed: int, folder: Path) -> float:
    """Returns the score of fine-tuning from a run, or from random weights."""
    if not (folder / FINISHED).exists():
        given = [] if start is None else [f"--gin.INITIAL_CHECKPOINT_PATH='{start}'"]
        flags = [*row.finetuning, *given, f"--gin.TASK={task}", f"--gin.RANDOM_SEED={seed}"]
        command.run("train", *flags, f"--workdir={folder}", what=f"{row.name} on {task}")
    metric = checkpoint.verify(checkpoint.latest(folder)).metadata["metric"]
    return -metric  # what is lowest at the best checkpoint
