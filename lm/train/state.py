"""The training state as arrays for a checkpoint, and back."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import ml_dtypes  # noqa: F401 - teaches NumPy bfloat16
import numpy as np

from lm.checkpoint import CheckpointError, assign, read, variable_names
from lm.engines import Program
from lm.errors import UserError
from lm.mesh import cluster


class NotFiniteError(UserError):
    """A state that must not be saved."""


def groups(program: Program) -> dict[str, dict[str, Any]]:
    """Return the training state by kind: kind -> name -> variable.

    `weights` is what inference needs, `averages` (where kept) the same names averaged, `state` the
    rest: seeds, slots, metrics.
    """
    seeds = [v for v in program.others if v.name == variable_names.SEED]
    state = [*seeds, *program.optimizer.slots, *program.meter.variables]
    weights = variable_names.weights(program.objective)
    found = {"weights": weights, "state": {v.path: v for v in state}}
    if program.optimizer.averages:
        name = {v.path: n for n, v in weights.items()}
        pairs = zip(program.weights, program.optimizer.averages, strict=True)
        found["averages"] = {name[weight.path]: average for weight, average in pairs}
    return found


def arrays(program: Program) -> dict[str, dict[str, np.ndarray]]:
    """Return copies of the training state; the engine must have been pulled.

    Raises:
        NotFiniteError: so that a good checkpoint is never followed by a bad one.
    """
    found = {
        kind: {name: cluster.host_copy(v.value) for name, v in group.items()}
        for kind, group in groups(program).items()
    }
    bad = [n for group in found.values() for n, x in group.items() if not _is_finite(x)]
    if bad:
        raise NotFiniteError(f"not saved: {', '.join(bad[:8])} not finite after an update")
    return found


def restore(program: Program, folder: Path) -> None:
    """Give every variable its value in a verified checkpoint, strictly.

    Raises:
        CheckpointError: listing what differs.
    """
    found = groups(program)
    left = {path.stem for path in folder.glob("*.safetensors")} - found.keys()
    if left:
        raise CheckpointError(
            f"{folder} has {', '.join(sorted(left))}, which this optimizer does not keep; "
            "take the settings it was made with, or --allow-change=optimizer"
        )
    for kind, group in found.items():
        assign(group, _stored(folder, kind), source=f"{folder} ({kind})")


def restore_for_another_optimizer(program: Program, folder: Path, *, step: int) -> None:
    """Give every variable its value but slots that the checkpoint lacks; those begin anew.

    Args:
        program: just built.
        folder: of a verified checkpoint, made with another optimizer.
        step: of the checkpoint; the count of updates goes on from it.

    Raises:
        CheckpointError: listing what differs in weights, seeds or metrics.
    """
    found = groups(program)
    for kind in ("weights", "state"):
        stored = _stored(folder, kind)
        free = {v.path for v in program.optimizer.slots} | stored.keys() - found[kind].keys()
        partial = [f"^{re.escape(name)}$" for name in free] if kind == "state" else []
        assign(found[kind], stored, source=f"{folder} ({kind})", partial=partial)
    iterations = program.optimizer.rule.iterations
    if iterations.path not in _stored(folder, "state"):
        iterations.assign(step)
    averages = _stored(folder, "averages")
    if averages and "averages" in found:
        assign(found["averages"], averages, source=f"{folder} (averages)")
    else:
        program.optimizer.restart_averages()


def _stored(folder: Path, kind: str) -> dict[str, np.ndarray]:
    """Return name -> array of one kind, nothing where the checkpoint has none."""
    return read(folder, kind) if (folder / f"{kind}.safetensors").exists() else {}


def sizes(variables: Mapping[str, Any]) -> str:
    """Return a table of name, shape, dtype and count of numbers, the total last."""
    width = max((len(name) for name in variables), default=0)
    lines = [
        f"{name:<{width}}  {tuple(v.shape)!s:<16} {_dtype(v):<9} {_size(v):>14,}"
        for name, v in variables.items()
    ]
    total = sum(_size(v) for v in variables.values())
    return "\n".join([*lines, f"Total number of parameters: {total}"])


def _size(variable: Any) -> int:
    """Return the count of numbers."""
    return int(np.prod(variable.shape, dtype=np.int64))


def _dtype(variable: Any) -> str:
    """Return the name of the type."""
    return keras.backend.standardize_dtype(variable.dtype)


def _is_finite(array: np.ndarray) -> bool:
    """Tell whether all numbers are finite; integers are."""
    if array.dtype.kind in "iub":
        return True
    return bool(np.isfinite(array.astype("float32", copy=False)).all())
