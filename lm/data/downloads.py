"""Says which command fetches a TFDS data set that a task needs and this machine lacks."""

import seqio

from lm.data.registry import Provider
from lm.errors import UserError


def require(provider: Provider, split: str) -> None:
    """Check, without touching the network, that a task's TFDS data lie on this machine.

    Args:
        provider: a task or mixture; sources other than TFDS are not looked at.
        split: the split that will be read.

    Raises:
        UserError: with the command that fetches the first missing data set.
    """
    for task in seqio.get_subtasks(provider):
        if isinstance(task.source, seqio.TfdsDataSource):
            _require_tfds(task, split)


def _require_tfds(task: seqio.Task, split: str) -> None:
    name, folder = task.source.tfds_dataset.get_split_params(split)
    fetch = f"tfds build {name}" + (f" --data_dir={folder}" if folder else "")
    try:
        is_there = task.source.tfds_dataset.builder.is_prepared()
    except Exception as error:  # TFDS raises types of its own for names and versions gone
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{task.name}: TFDS cannot open {name!r} ({reason})") from error
    if not is_there:
        raise UserError(
            f"{task.name}: the data are not on this machine; `{fetch}` fetches them "
            "(or set TFDS_DATA_DIR to the folder that holds them)"
        )
