"""Comparison of pre-trainings at equal compute, judged by what is learnt from few labels.

Every row is pre-trained for the same floating-point operations; then its weights are fine-tuned on
each task, once for each seed. Runs are ordinary: they can be killed and go on.

    workdir/<row>/steps.json             how many steps the operations are
    workdir/<row>/pretrained             the run of the pre-training
    workdir/<row>/<task>/<seed>          a run of the fine-tuning
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras

from lm import checkpoint
from lm.abstract import on_shapes
from lm.engines.flops import TRAINING_PASSES, matmul_flops
from lm.errors import UserError
from lm.experiments import command
from lm.objectives.objective import initial_carry

FINISHED = "operative_config.gin"  # the last that a run writes


class Row(NamedTuple):
    """A line of the comparison.

    Attributes:
        name: of its folder.
        steps: of its pre-training.
        pretraining: flags of `lm train`, without --workdir and the number of steps; none for a row
            whose fine-tuning begins from random weights.
        finetuning: flags of `lm train`, without --workdir, task and seed.
    """

    name: str
    steps: int
    pretraining: tuple[str, ...]
    finetuning: tuple[str, ...]


def compare(
    rows: Sequence[Row], tasks: Sequence[str], seeds: int, workdir: Path
) -> list[dict[str, Any]]:
    """Train what is not trained yet and return the scores of every row.

    Args:
        rows: what to compare.
        tasks: names of tasks that label.
        seeds: number of fine-tunings on every task, with the seeds 0, 1, …
        workdir: holds the runs.

    Returns:
        For each row its name, steps and, for each task, the score of every seed: the mean of the
        task's own metrics on its validation split, after the last step.

    Raises:
        UserError: a run failed; its own error is printed above.
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
    """Return how many steps the operations are: counted once, then read.

    Args:
        path: the file of the plan.
        flops: of the whole pre-training.
        measure: counts those of one step.

    Raises:
        UserError: the file was written for other operations.
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
    """Return the operations of a training step: 3 F, F of all matrix products of a forward pass.

    All that an objective runs counts: ELECTRA's generator and discriminator, XLNet's two streams
    and the memory that they read. Nothing is allocated.

    Args:
        objective: factory of the objective.
        features: for each feature of a batch anything with its shape and dtype.
    """
    specs = {
        name: keras.KerasTensor(x.shape, keras.backend.standardize_dtype(x.dtype))
        for name, x in features.items()
    }
    with on_shapes("OBJECTIVE"):
        made = objective()
        made(specs)  # creates the variables, so that what follows counts a call alone
        carry = initial_carry(made, specs)
        call = functools.partial(made, carry=carry) if carry else made
        return TRAINING_PASSES * matmul_flops(call, specs)


def _pretrained(row: Row, folder: Path) -> Path | None:
    """Return the run folder of a row's pre-training, finished; None if it has none."""
    if not row.pretraining:
        return None
    if not (folder / FINISHED).exists():
        flags = [f"--gin.{name}={row.steps}" for name in ("TRAIN_STEPS", "EVAL_PERIOD")]
        command.run("train", *row.pretraining, *flags, f"--workdir={folder}", what=row.name)
    return folder


def _finetuned(row: Row, start: Path | None, task: str, seed: int, folder: Path) -> float:
    """Return the score of a fine-tuning from a run, or from random weights."""
    if not (folder / FINISHED).exists():
        given = [] if start is None else [f"--gin.INITIAL_CHECKPOINT_PATH='{start}'"]
        flags = [*row.finetuning, *given, f"--gin.TASK={task}", f"--gin.RANDOM_SEED={seed}"]
        command.run("train", *flags, f"--workdir={folder}", what=f"{row.name} on {task}")
    metric = checkpoint.verify(checkpoint.latest(folder)).metadata["metric"]
    return -metric  # what is lowest at the best checkpoint
