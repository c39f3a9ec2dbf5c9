"""What a name stands for in a set of gin files, and which file and line said so."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lm.config import macros
from lm.config.suggest import did_you_mean
from lm.config.syntax import Binding
from lm.errors import ConfigError


@dataclass(frozen=True)
class Explanation:
    """One binding, told.

    Attributes:
        binding: the one that counts.
        value: its value with macros replaced.
        overridden: what it replaced, newest first.
        through: the macros it leads through, outermost first.
    """

    binding: Binding
    value: Any
    overridden: tuple[Binding, ...]
    through: tuple[Binding, ...]

    def lines(self) -> list[str]:
        """Return it for people."""
        binding = self.binding
        head = f"{binding.written} = {self.value!r}"
        return [
            head,
            f"    {binding.origin}: {binding.written} = {binding.value!r}",
            *(f"    {macro.origin}: {macro.written} = {macro.value!r}" for macro in self.through),
            *(f"    overrides {old.origin}: {old.value!r}" for old in self.overridden),
        ]

    def record(self) -> dict[str, Any]:
        """Return it for machines; values are gin text."""
        return {
            "name": self.binding.written,
            "value": repr(self.value),
            "bound": repr(self.binding.value),
            "origin": str(self.binding.origin),
            "through": [_record(macro) for macro in self.through],
            "overrides": [_record(old) for old in self.overridden],
        }


def explain(name: str, bindings: Sequence[Binding]) -> list[Explanation]:
    """Return what a name stands for, every scope of it.

    Args:
        name: a macro (`TRAIN_STEPS`), a parameter (`SelfAttention.num_heads`, any tail of its full
            path, with or without scope) or something configurable (`attention.SelfAttention`).
        bindings: those of a scan, overridden ones included.

    Raises:
        ConfigError: nothing of that name is bound.
    """
    table = macros.table(bindings)
    macros.refuse_endless(bindings, table)
    history: dict[tuple[str, str, str], list[Binding]] = {}
    for binding in bindings:
        if _is_named(binding, name):
            history.setdefault(binding.key, []).append(binding)
    if not history:
        near = did_you_mean(name, [binding.written for binding in bindings])
        raise ConfigError(f"nothing binds '{name}'{near}")
    return [_explanation(versions, table) for versions in history.values()]


def _explanation(versions: Sequence[Binding], table: dict[str, Binding]) -> Explanation:
    """Return the story of one key."""
    last = versions[-1]
    return Explanation(
        binding=last,
        value=macros.expanded(last.value, table),
        overridden=tuple(reversed(versions[:-1])),
        through=tuple(_through(last, table)),
    )


def _through(binding: Binding, table: dict[str, Binding]) -> Iterable[Binding]:
    """Yield the definitions of the macros in a value, and of those in theirs."""
    for name in macros.used(binding.value):
        if name in table:
            yield table[name]
            yield from _through(table[name], table)


def _is_named(binding: Binding, name: str) -> bool:
    """Tell whether the name means the binding."""
    scope, _, selector = name.rpartition("/")
    if binding.is_macro:
        return binding.scope == name
    full = f".{binding.target}"
    tails = (f"{full}.{binding.parameter}", full)
    is_tail = any(tail.endswith(f".{selector}") for tail in tails)
    return is_tail and scope in ("", binding.scope)


def _record(binding: Binding) -> dict[str, str]:
    """Return where a binding stands and what it binds."""
    return {
        "name": binding.written,
        "bound": repr(binding.value),
        "origin": str(binding.origin),
    }
