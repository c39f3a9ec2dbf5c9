"""Two configurations compared by what they come to, not by how they are written."""

from collections.abc import Sequence
from typing import NamedTuple

from lm.config import macros
from lm.config.scan import effective
from lm.config.syntax import Binding

ABSENT = "-"


class Difference(NamedTuple):
    """A binding that two configurations give different values, as gin text; `-` is absent."""

    name: str
    first: str
    second: str


def diff(first: Sequence[Binding], second: Sequence[Binding]) -> list[Difference]:
    """Return the bindings whose values differ once macros are replaced, by name.

    A macro is compared by itself only where no binding uses it.

    Args:
        first: bindings of one scan, overridden ones included.
        second: those of the other.
    """
    ours, theirs = resolved(first), resolved(second)
    names = sorted({*ours, *theirs})
    pairs = [Difference(name, ours.get(name, ABSENT), theirs.get(name, ABSENT)) for name in names]
    return [pair for pair in pairs if pair.first != pair.second]


def resolved(bindings: Sequence[Binding]) -> dict[str, str]:
    """Return `scope/path.parameter` and its value as gin text, macros replaced."""
    table = macros.table(bindings)
    last = effective(bindings).values()
    macros.refuse_endless(last, table)
    used = {name for binding in last for name in macros.used(binding.value)}
    return {
        _name(binding): repr(macros.expanded(binding.value, table))
        for binding in last
        if not (binding.is_macro and binding.scope in used)
    }


def _name(binding: Binding) -> str:
    """Return a name that two files share, whatever they call their imports."""
    if binding.is_macro:
        return binding.scope
    return "/".join(filter(None, [binding.scope, f"{binding.target}.{binding.parameter}"]))
