"""What a row of a source says, and where.

A reading gets a row and the layout of its source. It returns the fields by name and among them
`answer`, or `label`, the number of the class; with `options` where these differ from row to row,
and `references` where several answers are right. None leaves the row out. Rows of TFDS and of local
files differ in places; one reading serves both.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]
Fields = dict[str, Any]


class Layout(NamedTuple):
    """Where a row has what.

    Attributes:
        columns: our name of a field -> the row's.
        label: the column of the class.
        labels: what is written there for each class, if text.
    """

    columns: Mapping[str, str]
    label: str
    labels: Sequence[str]


Reading = Callable[[Row, Layout], Fields | None]
