"""Families of tasks with rule-made names, each registered when it is first requested.

A family of thousands of names would take long to register. It declares a rule instead, at import:

    on_demand.declare(Family(prefix="flan_", names=..., register=..., templates=...))

Importing this module costs nothing, so that a task module may stay light.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

Row = dict[str, str]


def _no_templates() -> Iterable[Row]:
    return ()


class Family(NamedTuple):
    """A family of names that follow a rule.

    Attributes:
        prefix: the common prefix of its names.
        register: registers the task or mixture of a name with SeqIO; does nothing for a name that
            the rule does not make.
        names: returns all names.
        tasks: patterns of the names of its tasks -> what they are, for lists.
        mixtures: the same of its mixtures.
        templates: returns a row for each template of its prompts, for lists.
    """

    prefix: str
    register: Callable[[str], None]
    names: Callable[[], Iterable[str]]
    tasks: Mapping[str, str]
    mixtures: Mapping[str, str]
    templates: Callable[[], Iterable[Row]] = _no_templates


_FAMILIES: dict[str, Family] = {}


def declare(family: Family) -> None:
    """Adds a family, in place of one with the same prefix."""
    _FAMILIES[family.prefix] = family


def families() -> list[Family]:
    """Returns the families declared by the modules imported so far."""
    return list(_FAMILIES.values())


def register(name: str) -> None:
    """Registers a name with the families whose prefix it has."""
    for family in families():
        if name.startswith(family.prefix):
            family.register(name)


def names() -> Iterator[str]:
    """Yields the names of all families."""
    for family in families():
        yield from family.names()
