"""The layout of a source's rows.

A reading is given a row and the layout of its source. It returns the fields by name, among them
`answer`, or `label`, the index of the class; `options` if they differ between rows; and
`references` if several answers are correct. None leaves the row out. One reading serves rows of
TFDS and of local files, which differ slightly.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]
Fields = dict[str, Any]


class Layout(NamedTuple):
    """The meaning of a row's columns.

    Attributes:
        columns: our name of a field -> the row's.
        label: the column of the class.
        labels: the text in that column for each class, if it is text.
    """

    columns: Mapping[str, str]
    label: str
    labels: Sequence[str]


Reading = Callable[[Row, Layout], Fields | None]
