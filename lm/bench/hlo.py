"""Operations of a compiled program, read from XLA's text form of it."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_DUMPED = "*after_optimizations.txt"
_CONTAINERS = ("while", "call", "conditional")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) .*\{$")
_OPERATION = re.compile(r"^\s*(?:ROOT )?%?([\w.-]+) = (?:\(.*?\)|\S+) ([a-z][\w-]*)\(")
_CALLS = re.compile(r"(?:calls|to_apply|fusion)=%?([\w.-]+)")
_SCOPE = re.compile(r'op_name="([^"]*)"')
_PRODUCT = re.compile(r"\b(dot|convolution)\b|[Mm]at[Mm]ul")


class Operation(NamedTuple):
    """An operation of a program.

    Attributes:
        opcode: XLA's opcode: `dot`, `fusion`, `while`, …
        scope: path of the layers and functions that it comes from, "" if XLA added it.
        is_product: whether it is a matrix product or a fusion that contains one.
        is_container: whether its time is that of other operations: loops and calls.
    """

    opcode: str
    scope: str
    is_product: bool
    is_container: bool


def operations(text: str) -> dict[str, Operation]:
    """Returns the operations of a module by name.

    Example:
        >>> found = operations('''HloModule m
        ... %fused (p: f32[2]) -> f32[2] {
        ...   ROOT %tanh.1 = f32[2]{0} tanh(%p), metadata={op_name="layer/gelu"}
        ... }
        ... ENTRY %main (a: f32[2]) -> f32[2] {
        ...   ROOT %f.1 = f32[2]{0} fusion(%a), kind=kLoop, calls=%fused
        ... }''')
        >>> found["f.1"]
        Operation(opcode='fusion', scope='layer/gelu', is_product=False, is_container=False)
    """
    lines: dict[str, list[str]] = {}
    owner = ""
    for line in text.splitlines():
        if begins := _COMPUTATION.match(line):
            owner = begins[1]
        elif _OPERATION.match(line):
            lines.setdefault(owner, []).append(line)
    return {
        found[1]: _operation(line, found[2], lines)
        for body in lines.values()
        for line in body
        if (found := _OPERATION.match(line))
    }


def _operation(line: str, opcode: str, lines: dict[str, list[str]]) -> Operation:
    """Returns one operation; a fusion is described by its computation."""
    inner = [*_called(line, lines)] if opcode == "fusion" else []
    scopes = [found[1] for each in [line, *reversed(inner)] if (found := _SCOPE.search(each))]
    is_product = any(_PRODUCT.search(_without_scope(each)) for each in [line, *inner])
    return Operation(opcode, scopes[0] if scopes else "", is_product, opcode in _CONTAINERS)


def _called(line: str, lines: dict[str, list[str]]) -> Iterator[str]:
    """Yields the lines of the computations that an operation calls."""
    for name in _CALLS.findall(line):
        yield from lines.get(name, [])


def _without_scope(line: str) -> str:
    """Returns a line without the operation's scope."""
    return line.split("metadata=")[0]


def dump_to(folder: Path) -> None:
    """Makes XLA dump compiled programs to a folder; to be called before the engine starts."""
    flags = os.environ.get("XLA_FLAGS", "")
    dump = f"--xla_dump_to={folder} --xla_dump_hlo_as_text"
    os.environ["XLA_FLAGS"] = f"{flags} {dump}".strip()


def dumped(folder: Path) -> set[Path]:
    """Returns the text files of the programs compiled so far."""
    return set(folder.glob(_DUMPED))


def read(paths: Iterable[Path]) -> dict[str, Operation]:
    """Returns the operations of programs; if a name occurs in several, the largest file wins."""
    found: dict[str, Operation] = {}
    for path in sorted(paths, key=lambda path: path.stat().st_size):
        found |= operations(path.read_text(encoding="utf-8"))
    return found
