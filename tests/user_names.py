"""The names that tests give tasks of a user's own files."""

import seqio

from lm.data.user_tasks import user


def free(*names: str) -> None:
    """Makes the names free again, for other tests of the process."""
    for name in names:
        seqio.TaskRegistry.remove(name)
    user._SPECS.clear()
