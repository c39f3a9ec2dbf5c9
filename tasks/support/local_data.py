"""Data sets in files that a user downloads: folders below `LM_DATA_DIR`."""

import glob
from collections.abc import Callable
from typing import NamedTuple

from lm.data.storage import files
from lm.errors import UserError


class DataSet(NamedTuple):
    """A folder of files.

    Attributes:
        name: name of the folder below `LM_DATA_DIR`.
        origin: where to download the files.
    """

    name: str
    origin: str

    def file(self, name: str) -> Callable[[], str]:
        """Returns a function that finds a file, or the files of a glob, when called."""
        return lambda: self._find(name)

    def _find(self, name: str) -> str:
        """Returns the path.

        Raises:
            UserError: the file does not exist; the message says where to get it and put it.
        """
        path = str(files.data_dir() / self.name / name)
        if not glob.glob(path):
            raise UserError(
                f"data set {self.name}: no file {path}; get it from {self.origin} and put it "
                f"there, or set LM_DATA_DIR to the folder that holds {self.name}/"
            )
        return path
