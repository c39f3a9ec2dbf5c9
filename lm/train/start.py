"""How a run begins: where it stopped, from other weights, or from nothing."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lm.checkpoint import Store, find, load_weights
from lm.differences import differences
from lm.train import facts, state
from lm.train.progress import tell

# Data facts with which the saved position still means something: the next unseen example.
POSITION_HOLDS = {"seed"}


class Position(NamedTuple):
    """Where a run begins or goes on.

    Attributes:
        step: batches consumed.
        is_evaluated: whether the evaluation that was due at the step is done.
        rows: rows of metrics up to there; None if the checkpoint does not know.
    """

    step: int = 0
    is_evaluated: bool = True
    rows: int | None = None

    @property
    def evaluated(self) -> int:
        """The last step whose evaluation is done."""
        return self.step if self.is_evaluated else self.step - 1


def resume(
    *,
    store: Store,
    engine: Any,
    data: Any,
    about: Mapping[str, Any],
    allow_change: Collection[str],
    before: int | None = None,
) -> Position | None:
    """Give engine and data the state of the newest good checkpoint.

    Args:
        store: the run's checkpoints.
        engine: built, its state arbitrary.
        data: at any position.
        about: facts of this process; see `lm.train.facts`.
        allow_change: names of facts that may differ from the run's.
        before: a step that the checkpoint shall precede, if one does.

    Returns:
        The position of the checkpoint, None if there is none.

    Raises:
        UserError: the run was begun with other settings or data, or does not fit the model.
    """
    found = store.newest(before=before)
    if found is None:
        return None
    folder, manifest = found
    run = store.folder.parent
    allowed = facts.refuse(manifest.metadata, about, allow_change=allow_change, run=run)
    _warn(manifest.metadata, about)
    engine.pull()
    if any(name.rpartition(".")[2] == "optimizer" for name in {*allowed, *allow_change}):
        state.restore_for_another_optimizer(engine.program, folder, step=manifest.step)
    else:
        state.restore(engine.program, folder)
    changed = facts.changes(manifest.metadata["data"], about["data"]).keys()
    data.digest = manifest.metadata.get("batches", "")
    if changed <= POSITION_HOLDS:
        data.restore((folder / "data_state").read_bytes(), allow_changes=allowed)
    else:
        tell(f"{', '.join(sorted(changed))} changed: the data are read from their beginning")
    tell(f"resumed from step {manifest.step}")
    is_evaluated = manifest.metadata.get("evaluated", True)
    return Position(manifest.step, is_evaluated, manifest.metadata.get("rows"))


def _warn(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Tell of another machine and of other code, which no run can always avoid."""
    warnings = {
        "machine": "the machine is another one, results may differ in the last bits",
        "code": "the code is not what the run was last made by, results may differ",
    }
    for part, warning in warnings.items():
        # Checkpoints of an older version do not know their code.
        found = differences(old.get(part, new[part]), new[part])
        if found:
            told = "; ".join(f"{name}: {was} -> {now}" for name, (was, now) in found.items())
            tell(f"{warning}: {told}")


def warm(*, engine: Any, path: str | Path, partial: Collection[str]) -> None:
    """Start from the weights of another run; optimizer, seeds and data begin anew.

    Args:
        engine: built.
        path: run folder (its newest checkpoint) or checkpoint folder.
        partial: regular expressions of names that may be missing or different.

    Raises:
        CheckpointError: there is no such checkpoint, or it does not fit.
    """
    folder = find(path)
    engine.pull()
    program = engine.program
    for line in load_weights(program.objective, folder, partial=partial):
        tell(f"admitted: {line}")
    program.optimizer.restart_averages()
    tell(f"started from the weights of {folder}")
