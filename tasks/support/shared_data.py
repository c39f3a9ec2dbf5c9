"""Files of the data sets in the shared data folder, `LM_DATA_DIR`."""

from collections.abc import Callable
from pathlib import Path

from lm.data import files
from lm.errors import UserError


def path(data_set: str, name: str) -> Callable[[], str]:
    """A function that finds a file, or the files of a glob, of a data set when it is called.

    Args:
        data_set: folder of the set below the data folder.
        name: file name or glob.
    """
    return lambda: str(folder(data_set) / name)


def folder(data_set: str) -> Path:
    """The folder of a data set.

    Raises:
        UserError: if the data folder lacks it.
    """
    found = files.data_dir() / data_set
    if not found.is_dir():
        raise UserError(
            f"data set {data_set!r}: no folder {found}; set LM_DATA_DIR to the folder that holds it"
        )
    return found
