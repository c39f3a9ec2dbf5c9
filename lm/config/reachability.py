"""Which bindings can be used: a static walk from the entry functions along references.

It follows gin's scope rules. `@a/b/X` replaces the current scope by `a/b`, `@X` inherits it, and a
call in `a/b` sees the bindings of ``, `a` and `a/b`; the longest scope wins. A macro is evaluated
in the scope of its own name, but a factory inside it is called in the scope of its user.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lm.config import syntax
from lm.config.names import ENTRIES, did_you_mean, typo_of
from lm.config.scanner import effective
from lm.config.syntax import MACRO, Binding, Macro, Reference
from lm.errors import ConfigError

Key = tuple[str, str, str]
Call = tuple[str, str]  # scope, target
COMMAND_LINE = "--"


@dataclass
class Reachable:
    """What can be reached.

    Attributes:
        keys: bindings visible to a call.
        calls: scope and target of every call.
        macros: macros that are used.
    """

    keys: set[Key] = field(default_factory=set)
    calls: set[Call] = field(default_factory=set)
    macros: set[str] = field(default_factory=set)


class Walk:
    """Follows references through bindings grouped by scope and target."""

    def __init__(self, bindings: Iterable[Binding]) -> None:
        self.found = Reachable()
        self._by_call: dict[Call, list[Binding]] = {}
        for binding in bindings:
            self._by_call.setdefault((binding.scope, binding.target), []).append(binding)
        self._seen: set[tuple[str, str, str]] = set()

    def call(self, scope: str, target: str) -> None:
        """Visits a call of the target in a scope, and everything that its bindings refer to."""
        pending = [(scope, target)]
        while pending:
            call = pending.pop()
            if call in self.found.calls:
                continue
            self.found.calls.add(call)
            for binding in self._visible(*call):
                self.found.keys.add(binding.key)
                pending += self._calls_in(binding, call[0])

    def macro(self, name: str, scope: str = "") -> None:
        """Visits a macro as if something in that scope used it."""
        for call in self._calls_of(Macro(name), inner=scope, outer=scope):
            self.call(*call)

    def _visible(self, scope: str, target: str) -> list[Binding]:
        """Returns the bindings visible to a call: those of every prefix of its scope."""
        parts = scope.split("/") if scope else []
        prefixes = ["/".join(parts[:count]) for count in range(len(parts) + 1)]
        return [b for prefix in prefixes for b in self._by_call.get((prefix, target), [])]

    def _calls_in(self, binding: Binding, scope: str) -> list[Call]:
        """Returns the calls that a binding's value leads to."""
        leaves = syntax.leaves(binding.value)
        return [c for leaf in leaves for c in self._calls_of(leaf, inner=scope, outer=scope)]

    def _calls_of(self, leaf: object, *, inner: str, outer: str) -> list[Call]:
        """Returns the calls of one leaf.

        Args:
            leaf: a reference or macro; anything else calls nothing.
            inner: the scope in which a called reference is evaluated.
            outer: the scope in which a factory is called later.
        """
        if isinstance(leaf, Reference):
            return [(leaf.scope or (inner if leaf.is_call else outer), leaf.target)]
        if isinstance(leaf, Macro):
            return self._calls_of_macro(leaf.name, outer)
        return []

    def _calls_of_macro(self, name: str, outer: str) -> list[Call]:
        """Returns the calls that using a macro leads to."""
        if (name, MACRO, outer) in self._seen:
            return []
        self._seen.add((name, MACRO, outer))
        self.found.macros.add(name)
        calls = []
        for binding in self._by_call.get((name, MACRO), []):
            self.found.keys.add(binding.key)
            for leaf in syntax.leaves(binding.value):
                calls += self._calls_of(leaf, inner=name, outer=outer)
        return calls


def walk(
    bindings: Iterable[Binding], roots: Sequence[str], *, macros: Iterable[str] = ()
) -> Reachable:
    """Returns what can be reached from the roots.

    Args:
        bindings: the bindings to follow.
        roots: full paths (`lm.train.train`, `scope/path`) or macros (`MODEL`).
        macros: further macros to start from.
    """
    steps = Walk(bindings)
    for root in roots:
        scope, _, target = root.rpartition("/")
        if "." in target:
            steps.call(scope, target)
        else:
            steps.macro(root)
    for name in macros:
        steps.macro(name)
    return steps.found


def useless(bindings: Sequence[Binding], roots: Sequence[str] = ()) -> Iterator[ConfigError]:
    """Yields an error for every binding that nothing can use, with the scopes in which it could be.

    A binding in a file may serve an unused macro, or a value that a later file replaced: that is
    not an error. A binding on the command line must be used.

    Args:
        bindings: those of a scan, overridden ones included, full paths.
        roots: what a verb builds besides calling its entry function.
    """
    starts = tuple(dict.fromkeys([*ENTRIES, *roots]))
    last = effective(bindings)
    macros = {binding.scope for binding in bindings if binding.is_macro}
    sure = walk(last.values(), starts)
    possible = walk(bindings, starts, macros=macros)
    for binding in last.values():
        is_flag = binding.origin.label.startswith(COMMAND_LINE)
        found = sure if is_flag else possible
        if binding.is_macro:
            yield from _stray_macro(binding, sure, is_flag=is_flag)
        elif binding.key not in found.keys:
            yield ConfigError(f"{binding.origin}: {_reason(binding, found)}")


def usable(bindings: Sequence[Binding], roots: Sequence[str] = ()) -> list[Binding]:
    """Returns the last binding of every key that can be used, in order; arguments of `useless`."""
    last = effective(bindings)
    macros = {binding.scope for binding in bindings if binding.is_macro}
    reached = walk(last.values(), tuple(dict.fromkeys([*ENTRIES, *roots])), macros=macros)
    return [b for b in last.values() if b.is_macro or b.key in reached.keys]


def _stray_macro(binding: Binding, sure: Reachable, *, is_flag: bool) -> Iterator[ConfigError]:
    """Yields an error for an unused macro if it is a flag or a probable typo of a used one."""
    name = binding.scope
    near = typo_of(name, sure.macros)
    if name not in sure.macros and (is_flag or near):
        yield ConfigError(f"{binding.origin}: nothing uses the macro {name}{near}")


def _reason(binding: Binding, found: Reachable) -> str:
    """Returns the message for a binding that nothing can use."""
    short = binding.written.rpartition("/")[2].rpartition(".")[0]
    scopes = sorted({scope for scope, target in found.calls if target == binding.target})
    if not scopes:
        return f"{binding.written} is never used: nothing refers to @{short}"
    listed = ", ".join(f"'{scope}'" if scope else "no scope" for scope in scopes[:8])
    near = did_you_mean(binding.scope, [scope for scope in scopes if scope])
    return (
        f"{binding.written} is never used: {short} is called in {listed}, not in "
        f"'{binding.scope}'{near}"
    )
