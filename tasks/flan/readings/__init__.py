"""Readings: from a row of a source to the fields of an example, see `layout`."""

from tasks.flan.readings import choices, classes, texts
from tasks.flan.readings.layout import Reading


def find(name: str) -> Reading:
    """Returns the reading named in a data set's description.

    Example:
        >>> find("squad").__module__
        'tasks.flan.readings.texts'
    """
    readings = vars(classes) | vars(choices) | vars(texts)
    return readings[name]
