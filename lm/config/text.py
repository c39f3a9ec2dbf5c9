"""A configuration written back as one gin file that loads to the same configuration."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from lm.config import syntax
from lm.config.syntax import Binding, Reference

_WIDTH = 100


def config_text(bindings: Sequence[Binding], modules: Iterable[str]) -> str:
    """Return gin text: dynamic registration, imports, macros, bindings by scope and name.

    Args:
        bindings: one per key, full paths, nothing overridden.
        modules: modules imported for their side effects, such as tasks.
    """
    aliases = _aliases({*modules, *_homes(bindings)})
    imports = [_import(module, alias) for module, alias in sorted(aliases.items())]
    macros = sorted((b for b in bindings if b.is_macro), key=lambda b: b.scope)
    others = sorted((b for b in bindings if not b.is_macro), key=lambda b: (b.target, b.key))
    return "\n".join(
        [
            "# The whole configuration of a run; loading it gives the same configuration.",
            "from __gin__ import dynamic_registration",
            "",
            *imports,
            "",
            *(_statement(b.scope, b.value, aliases) for b in macros),
            "",
            *(_statement(_left(b, aliases), b.value, aliases) for b in others),
            "",
        ]
    )


def _homes(bindings: Iterable[Binding]) -> set[str]:
    """Return the modules of everything that is configured or referred to."""
    paths = {binding.target for binding in bindings}
    for binding in bindings:
        found = syntax.leaves(binding.value)
        paths |= {leaf.target for leaf in found if isinstance(leaf, Reference)}
    return {path.rpartition(".")[0] for path in paths} - {"gin"}


def _aliases(modules: set[str]) -> dict[str, str]:
    """Return a short name for every module: its last part, more of it where two share one."""
    aliases: dict[str, str] = {}
    taken = {"gin"}
    for module in sorted(modules, key=lambda name: (name.count("."), name)):
        alias = next(name for name in _candidates(module) if name not in taken)
        taken.add(alias)
        aliases[module] = alias
    return aliases


def _candidates(module: str) -> Iterator[str]:
    """Yield short names of a module without end: `c`, `b_c`, `a_b_c`, `a_b_c_2`, ..."""
    parts = module.split(".")
    yield from ("_".join(parts[start:]) for start in reversed(range(len(parts))))
    yield from (f"{'_'.join(parts)}_{number}" for number in count(2))


def _import(module: str, alias: str) -> str:
    """Return one import statement."""
    parent, _, name = module.rpartition(".")
    tail = "" if alias == name else f" as {alias}"
    return f"from {parent} import {name}{tail}" if parent else f"import {module}{tail}"


def _left(binding: Binding, aliases: Mapping[str, str]) -> str:
    """Return `scope/alias.Name.parameter`."""
    name = f"{_short(binding.target, aliases)}.{binding.parameter}"
    return f"{binding.scope}/{name}" if binding.scope else name


def _short(path: str, aliases: Mapping[str, str]) -> str:
    """Return a full path as the imports let it be written."""
    module, _, name = path.rpartition(".")
    return f"{aliases.get(module, module)}.{name}"


def _statement(left: str, value: Any, aliases: Mapping[str, str]) -> str:
    """Return `left = value`, one element a line when it is long."""

    def leaf(item: Any) -> Any:
        if isinstance(item, Reference):
            return replace(item, target=_short(item.target, aliases))
        return _Infinite(item) if isinstance(item, float) else item

    shown = syntax.mapped(value, leaf)
    line = f"{left} = {shown!r}"
    if len(line) <= _WIDTH or not isinstance(shown, list) or not shown:
        return line
    return "\n".join([f"{left} = [", *(f"    {item!r}," for item in shown), "]"])


class _Infinite(float):
    """A float whose text gin can read even when it is infinite."""

    def __repr__(self) -> str:
        """Return the number; `inf` is no literal, a number too large for a float is."""
        return float.__repr__(self).replace("inf", "1e999")
