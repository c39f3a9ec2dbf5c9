"""The training state as arrays: saved to a checkpoint and restored from it.

`resume` restores all of it from the run's own checkpoint, `start_from_weights` only the weights,
from another run.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes  # noqa: F401 - teaches NumPy bfloat16
import numpy as np

from lm.checkpoint import (
    CheckpointError,
    Store,
    assign,
    find,
    load_weights,
    manifest_of,
    read,
    variable_names,
)
from lm.differences import differences
from lm.engines import Engine, Program
from lm.errors import UserError
from lm.mesh import cluster
from lm.train.metadata import changes, check_unchanged
from lm.train.progress import log

_SHOWN = 3  # packages whose code has changed

# Changes of the data that leave the saved position valid.
POSITION_HOLDS = {"seed"}


class NotFiniteError(UserError):
    """A state that must not be saved."""


class StartPoint(NamedTuple):
    """Where a run starts or continues.

    Attributes:
        step: batches consumed.
        is_evaluated: whether the evaluation due at this step has been done.
        rows: rows of metrics.jsonl up to this step; None if the checkpoint does not say.
        patience: state of `lm.train.loop.Patience`; None if the checkpoint does not say.
    """

    step: int = 0
    is_evaluated: bool = True
    rows: int | None = None
    patience: Mapping[str, Any] | None = None

    @property
    def evaluated_step(self) -> int:
        """The last step whose evaluation has been done."""
        return self.step if self.is_evaluated else self.step - 1


def groups(program: Program) -> dict[str, dict[str, Any]]:
    """Returns the training state by kind: kind -> name -> variable.

    `weights` is what inference needs; `averages` (optional) has the same names; `carry` (optional)
    is the state passed to the next batch; `state` is the rest: seeds, slots, metrics.
    """
    seeds = [v for v in program.others if v.name == variable_names.SEED]
    state = [*seeds, *program.optimizer.slots, *program.meter.variables, *program.tables.slots]
    weights = variable_names.weights(program.objective)
    found = {"weights": weights, "state": {v.path: v for v in state}}
    if program.carry.variables:
        found["carry"] = {v.path: v for v in program.carry.variables}
    if program.optimizer.averages:
        name = {v.path: n for n, v in weights.items()}
        pairs = zip(program.weights, program.optimizer.averages, strict=True)
        found["averages"] = {name[weight.path]: average for weight, average in pairs}
    return found


def arrays(program: Program) -> dict[str, dict[str, np.ndarray]]:
    """Returns copies of the training state; the engine must have been pulled.

    Raises:
        NotFiniteError: a value is not finite; such a state must not replace a good checkpoint.
    """
    found = {
        kind: {name: cluster.host_copy(v.value) for name, v in group.items()}
        for kind, group in groups(program).items()
    }
    bad = [n for group in found.values() for n, x in group.items() if not is_finite(x)]
    if bad:
        raise NotFiniteError(f"not saved: {', '.join(bad[:8])} not finite after an update")
    return found


def restore(program: Program, folder: Path) -> None:
    """Restores every variable from a verified checkpoint, strictly; the carry is set to zero.

    Raises:
        CheckpointError: listing the differences.
    """
    program.carry.reset()
    found = groups(program)
    found.pop("carry", None)
    left = {path.stem for path in folder.glob("*.safetensors")} - {*found, "carry"}
    if left:
        raise CheckpointError(
            f"{folder} has {', '.join(sorted(left))}, which this optimizer does not have; "
            "use the settings it was made with, or --allow-change=optimizer"
        )
    for kind, group in found.items():
        assign(group, _stored(folder, kind), source=f"{folder} ({kind})")


def restore_carry(program: Program, folder: Path) -> None:
    """Restores the carry from a verified checkpoint, for data that continue from there.

    Raises:
        CheckpointError: listing the differences.
    """
    variables = groups(program).get("carry", {})
    assign(variables, _stored(folder, "carry"), source=f"{folder} (carry)")


def restore_for_another_optimizer(program: Program, folder: Path, *, step: int) -> None:
    """Restores all variables but the optimizer's slots that the checkpoint lacks.

    Args:
        program: just built.
        folder: of a verified checkpoint of a run with another optimizer.
        step: of the checkpoint; the update count continues from it.

    Raises:
        CheckpointError: listing the differences in weights, seeds or metrics.
    """
    program.carry.reset()
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


def resume(
    *,
    store: Store,
    engine: Engine,
    data: Any,
    metadata: Mapping[str, Any],
    allow_change: Collection[str],
    before: int | None = None,
) -> StartPoint | None:
    """Restores engine and data from the newest good checkpoint.

    Args:
        store: the run's checkpoints.
        engine: built, in any state.
        data: at any position.
        metadata: of this process; see `lm.train.metadata`.
        allow_change: names in it that may differ from the run's.
        before: prefer a checkpoint before this step.

    Returns:
        Where the run continues; None without a checkpoint.

    Raises:
        UserError: the run was started with other settings or data, or does not fit the model.
    """
    found = store.newest(before=before)
    if found is None:
        return None
    folder, manifest = found
    run = store.folder.parent
    allowed = check_unchanged(manifest.metadata, metadata, allow_change=allow_change, run=run)
    _warn(manifest.metadata, metadata)
    engine.pull()
    if any(name.rpartition(".")[2] == "optimizer" for name in {*allowed, *allow_change}):
        restore_for_another_optimizer(engine.program, folder, step=manifest.step)
    else:
        restore(engine.program, folder)
    changed = changes(manifest.metadata["data"], metadata["data"]).keys()
    data.digest = manifest.metadata.get("batches", "")
    if changed <= POSITION_HOLDS:
        data.restore((folder / "data_state").read_bytes(), allow_changes=allowed)
    else:
        log(f"{', '.join(sorted(changed))} changed: the data start over")
    if not changed:  # otherwise the next batch does not continue the rows of the last batch
        restore_carry(engine.program, folder)
    log(f"resumed from step {manifest.step}")
    is_evaluated = manifest.metadata.get("evaluated", True)
    rows, patience = (manifest.metadata.get(name) for name in ("rows", "patience"))
    return StartPoint(manifest.step, is_evaluated, rows, patience)


def _warn(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Logs that the machine or the code has changed since the checkpoint."""
    warnings = {
        "machine": "the machine has changed, results may differ in the last bits",
        "code": "the code has changed since the checkpoint, results may differ",
    }
    for part, warning in warnings.items():
        # Checkpoints of older versions have no record of the code.
        found = differences(old.get(part, new[part]), new[part])
        if found:
            lines = [f"{name}: {was} -> {now}" for name, (was, now) in found.items()]
            more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
            log(f"{warning}: {'; '.join(lines[:_SHOWN])}{more}")


def start_from_weights(
    *, engine: Engine, path: str | Path, partial: Collection[str], data: Mapping[str, Any]
) -> None:
    """Starts from the weights of another run; optimizer, seeds and data start fresh.

    Args:
        engine: built.
        path: run folder (its newest checkpoint) or checkpoint folder.
        partial: regular expressions of names that may be missing or different.
        data: the fingerprint of this run's data.

    Raises:
        CheckpointError: there is no such checkpoint, or it does not fit.
    """
    folder = find(path)
    warn_of_tokenizers(manifest_of(folder).metadata.get("data", {}), data, folder)
    engine.pull()
    program = engine.program
    for line in load_weights(program.objective, folder, partial=partial):
        log(f"admitted: {line}")
    program.optimizer.restart_averages()
    log(f"started from the weights of {folder}")


def warn_of_tokenizers(old: Mapping[str, Any], new: Mapping[str, Any], folder: Path) -> None:
    """Warns if a checkpoint was trained with another tokenizer.

    Weights also fit another tokenizer of the same size, but then ids stand for other pieces.

    Args:
        old: fingerprint of the checkpoint's data; an imported one has no tokenizers.
        new: fingerprint of this run's data.
        folder: of the checkpoint.
    """
    before, now = _tokenizers(old), _tokenizers(new)
    if before and now and not before & now:
        log(
            f"warning: {folder} was trained with another tokenizer than this run's: its ids stand "
            "for other pieces; bind VOCABULARY as its config.gin does"
        )


def _tokenizers(data: Mapping[str, Any]) -> set[str]:
    """Returns the fingerprints of the vocabularies of the data."""
    tasks = data.get("features", {}).values()
    return {feature["vocabulary"] for features in tasks for feature in features.values()}


def _stored(folder: Path, kind: str) -> dict[str, np.ndarray]:
    """Returns name -> array of one kind; empty if the checkpoint has none."""
    return read(folder, kind) if (folder / f"{kind}.safetensors").exists() else {}


def is_finite(array: np.ndarray) -> bool:
    """Returns whether all numbers are finite; integers always are."""
    if array.dtype.kind in "iub":
        return True
    return bool(np.isfinite(array.astype("float32", copy=False)).all())
