"""The checkpoints of a run: saved in the background; the newest and the best are kept."""

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lm import disk
from lm.checkpoint.folder import (
    CheckpointError,
    DamagedError,
    Groups,
    Manifest,
    manifest_of,
    verify,
    write,
)
from lm.errors import ConfigError

FOLDER = "checkpoints"


class Store:
    """Saves in the background and finds the newest good checkpoint.

    The error of a failed save is raised by the next call.

    Args:
        workdir: the run folder.
        keep: number of newest checkpoints to keep, besides the best one and the one that the run
            may roll back to. None keeps all.
        warn: called with a line when a damaged checkpoint is skipped; prints to standard error by
            default.
    """

    def __init__(
        self,
        workdir: str | Path,
        *,
        keep: int | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.folder = local(workdir) / FOLDER
        self.keep = keep
        self._warn = warn or _print_warning
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def clean(self) -> None:
        """Deletes what a killed process left half written; only the run's owner may call this."""
        for folder in (self.folder.parent, self.folder):
            disk.clean(folder)

    def newest(self, *, before: int | None = None) -> tuple[Path, Manifest] | None:
        """Returns the newest undamaged checkpoint and its manifest; None if there are none.

        Args:
            before: prefer the newest one below this step, else the oldest one.

        Raises:
            DamagedError: all of them are damaged.
            CheckpointError: the newest is of a newer format.
        """
        return _newest(self.folder, self._warn, before)

    def good(self) -> tuple[Path, Manifest] | None:
        """Returns the newest checkpoint that a run may roll back to, or None.

        Raises:
            CheckpointError: it is damaged.
        """
        step = _good(self.folder)
        return None if step is None else (self.folder / str(step), verify(self.folder / str(step)))

    def save(
        self, *, step: int, groups: Groups, data_state: bytes, metadata: Mapping[str, Any]
    ) -> None:
        """Saves a checkpoint in the background; first waits for the previous save.

        Args:
            step: batches consumed.
            groups: kind -> name -> array; must not be changed afterwards.
            data_state: position in the data.
            metadata: for the manifest; `metric` (lower is better) decides which one is the best.

        Raises:
            CheckpointError: the previous save failed.
        """
        self.wait()
        self._pending = self._writer.submit(
            self._write, step=step, groups=groups, data_state=data_state, metadata=metadata
        )

    def poll(self) -> None:
        """Raises the error of a failed save, if there is one."""
        if self._pending is not None and self._pending.done():
            self.wait()

    def wait(self) -> None:
        """Waits for the pending save and raises its error."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Waits for the pending save, ends the thread and raises the save's error."""
        try:
            self.wait()
        finally:
            self._writer.shutdown()

    def _write(self, *, step: int, **contents: Any) -> None:
        """Writes and verifies a checkpoint, then deletes the ones that are no longer kept."""
        verify(write(self.folder / str(step), step=step, **contents))
        if self.keep is None:
            return
        found = steps(self.folder)
        kept = {*found[-self.keep :], _best(self.folder), _good(self.folder)}
        for old in found:
            if old not in kept:
                disk.remove(self.folder / str(old))


def steps(folder: Path) -> list[int]:
    """Returns the steps of the finished checkpoints in a folder, in ascending order."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def latest(workdir: str | Path) -> Path:
    """Returns the newest undamaged checkpoint of a run.

    Raises:
        CheckpointError: there is none.
    """
    found = _newest(local(workdir) / FOLDER, _print_warning)
    if found is None:
        raise CheckpointError(f"{workdir} has no checkpoint; is it the --workdir of a run?")
    return found[0]


def best(workdir: str | Path) -> Path:
    """Returns the checkpoint with the lowest validation loss; the newest if none was evaluated.

    Raises:
        CheckpointError: there is none.
    """
    folder = local(workdir) / FOLDER
    step = _best(folder)
    return latest(workdir) if step is None else folder / str(step)


def find(path: str | Path, checkpoint: str = "latest") -> Path:
    """Returns a checkpoint folder from a run folder or the folder itself.

    Args:
        path: a run folder, or one `checkpoints/<step>` folder.
        checkpoint: "latest", "best" or a step, for a run folder only.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    path = local(path)
    if (path / "MANIFEST.json").exists():
        return path
    if checkpoint in ("latest", "best"):
        return latest(path) if checkpoint == "latest" else best(path)
    folder = path / FOLDER / checkpoint
    if not folder.is_dir():
        raise CheckpointError(
            f"{path} has no checkpoint {checkpoint}; it has {steps(path / FOLDER)}"
        )
    return folder


def local(path: str | Path) -> Path:
    """Returns a local path; checkpoints rely on atomic renames.

    Raises:
        ConfigError: the path is a URL.
    """
    if "://" in str(path):
        raise ConfigError(f"{path}: give a local folder and copy it; URLs cannot be renamed safely")
    return Path(path)


def _newest(
    folder: Path, warn: Callable[[str], None], before: int | None = None
) -> tuple[Path, Manifest] | None:
    """Returns the newest undamaged checkpoint, with a warning for each damaged one."""
    damage = ""
    found = steps(folder)
    lower = [step for step in found if before is None or step < before]
    for step in [*reversed(lower), *found[len(lower) :]]:
        try:
            manifest = verify(folder / str(step))
            if manifest.step != step:
                raise DamagedError(f"{folder / str(step)} holds step {manifest.step}")
        except DamagedError as error:
            damage = str(error)
            warn(f"checkpoint {step} is damaged and skipped: {error}")
        else:
            return folder / str(step), manifest
    if damage:
        raise DamagedError(f"all checkpoints in {folder} are damaged: {damage}")
    return None


def _best(folder: Path) -> int | None:
    """Returns the step with the lowest metric; None if no checkpoint has one."""
    metrics = _metadata(folder, "metric")
    return min(metrics, key=lambda step: metrics[step]) if metrics else None


def _good(folder: Path) -> int | None:
    """Returns the newest step that a run may roll back to; None if there is none."""
    return max(
        (step for step, is_good in _metadata(folder, "good").items() if is_good), default=None
    )


def _metadata(folder: Path, key: str) -> dict[int, Any]:
    """Returns step -> metadata[key], for the readable checkpoints that have it."""
    found = {}
    for step in steps(folder):
        try:
            found[step] = manifest_of(folder / str(step)).metadata.get(key)
        except CheckpointError:
            continue
    return {step: value for step, value in found.items() if value is not None}


def _print_warning(line: str) -> None:
    """Prints a warning to standard error."""
    print(f"lm: {line}", file=sys.stderr)
