"""Gin text as data: statements parsed with gin's own parser, without executing anything."""

import io
import re
import reprlib
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gin import config_parser
from lm.errors import ConfigError

MACRO = "gin.macro"
REQUIRED = "gin.REQUIRED"

_MOST_BITS = 64
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8
_UNREADABLE = re.compile(r"Failed to parse token '(.*)'", re.DOTALL)
_CLEARER = {
    "Expected newline.": "unexpected text after the value (gin has no arithmetic)",
    "Unable to parse value.": "not a value that gin can read",
    "Unexpected token.": "a statement begins with a name",
    "Couldn't parse statement, expected ':' or '='.": "expected NAME = VALUE",
}


@dataclass(frozen=True)
class Origin:
    """Where a statement is: a file and line, or the flag that holds it (line 0)."""

    label: str
    line: int

    def __str__(self) -> str:
        """Returns `file:line`, or the flag."""
        return f"{self.label}:{self.line}" if self.line else self.label


@dataclass(frozen=True)
class Reference:
    """`@scope/target` or, called, `@scope/target()`."""

    scope: str
    target: str
    is_call: bool

    def __repr__(self) -> str:
        """Returns gin's own spelling."""
        return f"@{_scoped(self.scope, self.target)}{'()' if self.is_call else ''}"


@dataclass(frozen=True)
class Macro:
    """`%NAME`."""

    name: str

    def __repr__(self) -> str:
        """Returns gin's own spelling."""
        return f"%{self.name}"


@dataclass(frozen=True)
class Binding:
    """`scope/target.parameter = value`; a macro is `NAME/gin.macro.value`.

    Attributes:
        target: what is configured; as written, until the scan resolves it to a full path.
        origin: file and line.
        written: the left side as the user wrote it, for messages.
    """

    scope: str
    target: str
    parameter: str
    value: Any
    origin: Origin
    written: str

    @property
    def key(self) -> tuple[str, str, str]:
        """A later binding with the same key overrides this one."""
        return self.scope, self.target, self.parameter

    @property
    def is_macro(self) -> bool:
        """Whether this defines a macro."""
        return self.target == MACRO


@dataclass(frozen=True)
class Import:
    """An import; a selector `prefix.Name` names one object of `module`."""

    module: str
    prefix: str
    origin: Origin


@dataclass(frozen=True)
class Include:
    """`include 'file'`."""

    name: str
    origin: Origin


Statement = Binding | Import | Include


def read(path: Path, label: str) -> str:
    """Returns the text of a gin file.

    Raises:
        ConfigError: the file cannot be read, or is not plain UTF-8 text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{label}: {error.strerror}") from error
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(f"{label}:1: begins with a byte-order mark; save the file as plain UTF-8")
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise ConfigError(f"{label}:{line}: holds a NUL byte; a gin file is text")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{label}:{line}: is not UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def statements(text: str, label: str, *, is_flag: bool = False) -> Iterator[Statement]:
    """Yields the statements of a text, in order.

    Args:
        text: gin text.
        label: file name or flag, for messages.
        is_flag: whether the text is a flag; its messages have no line number.

    Raises:
        ConfigError: a syntax error, with its line.
    """
    try:
        yield from _statements(text, label, is_flag=is_flag)
    except (SyntaxError, tokenize.TokenError) as error:
        raise ConfigError(f"{_origin(error, label, is_flag=is_flag)}: {_reason(error)}") from error
    except RecursionError as error:
        raise ConfigError(f"{label}: a value is nested too deeply") from error
    except (ValueError, StopIteration, RuntimeError) as error:
        raise ConfigError(f"{label}: not gin: {error}") from error


def _statements(text: str, label: str, *, is_flag: bool) -> Iterator[Statement]:
    """Yields the statements; errors are those of the parser."""
    parser = config_parser.ConfigParser(io.StringIO(text), _Delegate())
    while (statement := parser.parse_statement()) is not None:
        origin = Origin(label, 0 if is_flag else statement.location.line_num)
        if isinstance(statement, config_parser.BindingStatement):
            binding = _binding(statement, origin)
            _refuse_huge(binding)
            yield binding
        elif isinstance(statement, config_parser.ImportStatement):
            yield Import(statement.module, _prefix(statement), origin)
        elif isinstance(statement, config_parser.IncludeStatement):
            yield Include(statement.filename, origin)


def _binding(statement: config_parser.BindingStatement, origin: Origin) -> Binding:
    """Returns gin's statement as a Binding; without a parameter it defines a macro."""
    scope, selector, parameter, value, _ = statement
    written = _scoped(scope, f"{selector}.{parameter}" if parameter else selector)
    if parameter:
        return Binding(scope, selector, parameter, value, origin, written)
    return Binding(written, MACRO, "value", value, origin, written)


def _refuse_huge(binding: Binding) -> None:
    """Refuses integers too large for any setting or message."""
    numbers = [leaf for leaf in leaves(binding.value) if isinstance(leaf, int)]
    if widest := max((n.bit_length() for n in numbers if n.bit_length() > _MOST_BITS), default=0):
        raise ConfigError(
            f"{binding.origin}: {binding.written} holds an integer of {widest} bits; settings "
            f"take at most {_MOST_BITS}"
        )


def _prefix(statement: config_parser.ImportStatement) -> str:
    """Returns the prefix of selectors that use an import."""
    if statement.alias or statement.is_from:
        return statement.bound_name()
    return statement.module


def _scoped(scope: str, name: str) -> str:
    """Returns `scope/name`."""
    return f"{scope}/{name}" if scope else name


def _origin(error: Exception, label: str, *, is_flag: bool) -> Origin:
    """Returns where the parser stopped."""
    if is_flag:
        return Origin(label, 0)
    line = getattr(error, "lineno", None)
    if line is None and len(error.args) > 1 and isinstance(error.args[1], Sequence):
        line = error.args[1][0]
    return Origin(label, line or 0)


def _reason(error: Exception) -> str:
    """Returns the parser's message in one line of plain words."""
    text = str(getattr(error, "msg", None) or error.args[0])
    token = _UNREADABLE.search(text)
    if token:
        return f"cannot read {short(token[1])}: quote strings, write references @name, macros %NAME"
    return _CLEARER.get(text, " ".join(text.split()))


class _Delegate(config_parser.ParserDelegate):
    """Builds references and macros as data."""

    def configurable_reference(
        self,
        scoped_configurable_name: str,
        evaluate: bool,  # noqa: FBT001 (gin calls it by position)
    ) -> Reference | Macro:
        """Returns the reference; `@NAME/gin.macro()` is the long form of a macro."""
        scope, _, target = scoped_configurable_name.rpartition("/")
        if target == MACRO and evaluate:
            return Macro(scope)
        return Reference(scope, target, evaluate)

    def macro(self, macro_name: str) -> Macro:
        """Returns the macro."""
        return Macro(macro_name)


def short(value: Any) -> str:
    """Returns a value as gin text for a message, shortened in the middle.

    Example:
        >>> short([1, "a" * 5000])
        "[1, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa']"
    """
    return _SHORT.repr(value)


def leaves(value: Any) -> Iterator[Any]:
    """Yields the leaves of a nested value, including references and macros.

    Example:
        >>> list(leaves({"a": [1, (Macro("N"),)]}))
        ['a', 1, %N]
    """
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(key)
            yield from leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def references(value: Any) -> list[Reference]:
    """Returns the references in a nested value."""
    return [leaf for leaf in leaves(value) if isinstance(leaf, Reference)]


def named(binding: Binding) -> dict[str, str]:
    """Returns target -> name as written, for everything that a binding names."""
    paths = {leaf.target: f"@{leaf.target}" for leaf in references(binding.value)}
    return paths if binding.is_macro else {**paths, binding.target: binding.written}


def renamed(binding: Binding, names: Mapping[str, str]) -> Binding:
    """Returns the binding with its target and references renamed."""

    def leaf(value: Any) -> Any:
        if isinstance(value, Reference):
            return replace(value, target=names.get(value.target, value.target))
        return value

    target = names.get(binding.target, binding.target)
    return replace(binding, target=target, value=mapped(binding.value, leaf))


def mapped(value: Any, function: Any) -> Any:
    """Returns the nested value with the function applied to every leaf."""
    if isinstance(value, dict):
        return {mapped(k, function): mapped(v, function) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(mapped(item, function) for item in value)
    return function(value)
