"""Views of a configuration: as one gin file, the origin of a name, differences of two."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, NamedTuple

from lm.config import macros, syntax
from lm.config.names import did_you_mean
from lm.config.scanner import effective
from lm.config.syntax import Binding, Reference
from lm.errors import ConfigError

ABSENT = "-"
_WIDTH = 100


def config_text(bindings: Sequence[Binding], modules: Iterable[str]) -> str:
    """Returns a whole configuration as gin text: imports, macros, bindings by scope and name.

    Args:
        bindings: one per key, full paths, nothing overridden.
        modules: modules imported for their side effects, such as tasks.
    """
    comment = "The whole configuration of a run; loading it gives the same configuration."
    return gin_text(comment, (), bindings, modules)


def gin_text(
    comment: str, included: Iterable[str], bindings: Sequence[Binding], modules: Iterable[str] = ()
) -> str:
    """Returns a gin file: a comment, imports, includes, macros, bindings by scope and name.

    Args:
        comment: the first line.
        included: gin files that the bindings override.
        bindings: one per key, full paths, nothing overridden.
        modules: modules imported for their side effects, such as tasks.
    """
    aliases = _aliases({*modules, *_homes(bindings)})
    imports = [_import(module, alias) for module, alias in sorted(aliases.items())]
    macros = sorted((b for b in bindings if b.is_macro), key=lambda b: b.scope)
    others = sorted((b for b in bindings if not b.is_macro), key=lambda b: (b.target, b.key))
    sections = [
        imports,
        [f"include {name!r}" for name in included],
        [_statement(b.scope, b.value, aliases) for b in macros],
        [_statement(_left(b, aliases), b.value, aliases) for b in others],
    ]
    head = [f"# {comment}", "from __gin__ import dynamic_registration"]
    return "\n\n".join("\n".join(section) for section in (head, *sections) if section) + "\n"


def _homes(bindings: Iterable[Binding]) -> set[str]:
    """Returns the modules of everything that is configured or referenced."""
    paths = {path for binding in bindings for path in syntax.named(binding)}
    return {path.rpartition(".")[0] for path in paths} - {"gin"}


def _aliases(modules: set[str]) -> dict[str, str]:
    """Returns a unique short name for every module: its last part, or more if that is taken."""
    aliases: dict[str, str] = {}
    taken = {"gin"}
    for module in sorted(modules, key=lambda name: (name.count("."), name)):
        alias = next(name for name in _candidates(module) if name not in taken)
        taken.add(alias)
        aliases[module] = alias
    return aliases


def _candidates(module: str) -> Iterator[str]:
    """Yields ever longer short names of a module: `c`, `b_c`, `a_b_c`, `a_b_c_2`, ..."""
    parts = module.split(".")
    yield from ("_".join(parts[start:]) for start in reversed(range(len(parts))))
    yield from (f"{'_'.join(parts)}_{number}" for number in count(2))


def _import(module: str, alias: str) -> str:
    """Returns one import statement."""
    parent, _, name = module.rpartition(".")
    tail = "" if alias == name else f" as {alias}"
    return f"from {parent} import {name}{tail}" if parent else f"import {module}{tail}"


def _left(binding: Binding, aliases: Mapping[str, str]) -> str:
    """Returns `scope/alias.Name.parameter`."""
    name = f"{_short(binding.target, aliases)}.{binding.parameter}"
    return f"{binding.scope}/{name}" if binding.scope else name


def _short(path: str, aliases: Mapping[str, str]) -> str:
    """Returns a full path abbreviated by the imports."""
    module, _, name = path.rpartition(".")
    return f"{aliases.get(module, module)}.{name}"


def _statement(left: str, value: Any, aliases: Mapping[str, str]) -> str:
    """Returns `left = value`, with one element per line if it is long."""

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
    """A float that gin can read back even if it is infinite."""

    def __repr__(self) -> str:
        """Returns a literal: `inf` is not one, but a number too large for a float is."""
        return float.__repr__(self).replace("inf", "1e999")


@dataclass(frozen=True)
class Explanation:
    """The origin of a binding's value.

    Attributes:
        binding: the effective binding.
        value: its value with macros replaced.
        overridden: earlier bindings of the same name, newest first.
        through: the macros that the value refers to, outermost first.
    """

    binding: Binding
    value: Any
    overridden: tuple[Binding, ...]
    through: tuple[Binding, ...]

    def lines(self) -> list[str]:
        """Returns the text that `lm config explain` prints."""
        binding = self.binding
        head = f"{binding.written} = {self.value!r}"
        return [
            head,
            f"    {binding.origin}: {binding.written} = {binding.value!r}",
            *(f"    {macro.origin}: {macro.written} = {macro.value!r}" for macro in self.through),
            *(f"    overrides {old.origin}: {old.value!r}" for old in self.overridden),
        ]

    def record(self) -> dict[str, Any]:
        """Returns JSON values, each value as gin text."""
        return {
            "name": self.binding.written,
            "value": repr(self.value),
            "bound": repr(self.binding.value),
            "origin": str(self.binding.origin),
            "through": [_record(macro) for macro in self.through],
            "overrides": [_record(old) for old in self.overridden],
        }


def explain(name: str, bindings: Sequence[Binding]) -> list[Explanation]:
    """Returns the effective bindings of a name, in every scope.

    Args:
        name: a macro (`TRAIN_STEPS`), a parameter (`SelfAttention.num_heads`, any suffix of its
            full path, with or without scope) or a configurable (`attention.SelfAttention`).
        bindings: those of a scan, overridden ones included.

    Raises:
        ConfigError: nothing binds that name.
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
    """Returns the origin of a key's value."""
    last = versions[-1]
    return Explanation(
        binding=last,
        value=macros.expanded(last.value, table),
        overridden=tuple(reversed(versions[:-1])),
        through=tuple(_through(last, table)),
    )


def _through(binding: Binding, table: dict[str, Binding]) -> Iterable[Binding]:
    """Yields the definitions of the macros in a value, recursively."""
    for name in macros.used(binding.value):
        if name in table:
            yield table[name]
            yield from _through(table[name], table)


def _is_named(binding: Binding, name: str) -> bool:
    """Returns whether the name refers to the binding."""
    scope, _, selector = name.rpartition("/")
    if binding.is_macro:
        return binding.scope == name
    full = f".{binding.target}"
    tails = (f"{full}.{binding.parameter}", full)
    is_tail = any(tail.endswith(f".{selector}") for tail in tails)
    return is_tail and scope in ("", binding.scope)


def _record(binding: Binding) -> dict[str, str]:
    """Returns where a binding is and what it binds."""
    return {
        "name": binding.written,
        "bound": repr(binding.value),
        "origin": str(binding.origin),
    }


class Difference(NamedTuple):
    """A binding with different values in two configurations, as gin text; `-` if absent."""

    name: str
    first: str
    second: str


def diff(first: Sequence[Binding], second: Sequence[Binding]) -> list[Difference]:
    """Returns the bindings whose values differ after replacing macros, by name.

    A macro itself is compared only if no binding uses it.

    Args:
        first: bindings of one scan, overridden ones included.
        second: those of the other.
    """
    before, after = values(first), values(second)
    names = sorted({*before, *after})
    pairs = [Difference(name, before.get(name, ABSENT), after.get(name, ABSENT)) for name in names]
    return [pair for pair in pairs if pair.first != pair.second]


def values(bindings: Sequence[Binding]) -> dict[str, str]:
    """Returns `scope/path.parameter` and its value as gin text, macros replaced."""
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
    """Returns a name that does not depend on how a file names its imports."""
    if binding.is_macro:
        return binding.scope
    return "/".join(filter(None, [binding.scope, f"{binding.target}.{binding.parameter}"]))
