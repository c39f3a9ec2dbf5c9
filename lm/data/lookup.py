"""From a name, a split and a vocabulary to the tasks that a pipeline reads."""

import seqio

from lm.data import downloads, registry
from lm.errors import UserError

Provider = registry.Provider


def provider(name: str, split: str, vocabulary: seqio.Vocabulary | None = None) -> Provider:
    """Returns the task or mixture of a name, ready to read a split of it.

    Args:
        name: name of a registered task or mixture.
        split: a split it must have.
        vocabulary: replaces that of every text feature, if given.

    Raises:
        UserError: naming the nearest known name, the splits there are, or the command that
            fetches data which are not on this machine.
    """
    found = registry.get(name)
    if split not in found.splits:
        known = ", ".join(sorted(found.splits)) or "none"
        raise UserError(f"{name} has no split {split!r}; it has: {known}")
    for task in tasks(found, split):
        downloads.require(task, split)
    return registry.with_vocabulary(found, vocabulary)


def task(name: str, split: str, vocabulary: seqio.Vocabulary | None = None) -> seqio.Task:
    """Returns the task of a name, ready to read a split of it; arguments as in `provider`.

    Raises:
        UserError: as `provider`, and if the name is a mixture's.
    """
    found = provider(name, split, vocabulary)
    if isinstance(found, seqio.Mixture):
        parts = ", ".join(part.name for part in found.tasks)
        raise UserError(f"{name!r} is a mixture; name one of its tasks: {parts}")
    return found


def tasks(found: Provider, split: str) -> list[seqio.Task]:
    """Returns the task itself, or the tasks of a mixture that have the split."""
    return [part for part in seqio.get_subtasks(found) if split in part.splits]
