"""The one place that touches gin's insides: registers objects, binds values, locks the result.

gin's own parse loop resolves names while it executes imports and forgets where a binding stood, so
the loop is ours and gin keeps its parser, its wrappers and its scopes. What is used beyond gin's
public names: `ConfigurableReference`, `ImportStatement`, `_inverse_lookup`, `_IMPORTS`.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import partial
from typing import Any

import gin
from gin import config, config_parser
from lm.config import syntax
from lm.config.syntax import REQUIRED, Binding, Macro, Reference
from lm.errors import ConfigError
from lm.wall import wall


def clear() -> None:
    """Forget every binding, leaving what is registered."""
    gin.clear_config()
    statement = config_parser.ImportStatement(
        module="__gin__.dynamic_registration",
        is_from=True,
        alias=None,
        location=config_parser.Location(None, 0, None, ""),
    )
    config._IMPORTS.add(statement)


def register(found: Any, path: str) -> str:
    """Make an object configurable, once, and return gin's name of it.

    The object itself stays untouched: gin returns a configured twin where a reference names it.

    Args:
        found: a class or function.
        path: its full path; the name, if it is registered for the first time.
    """
    known = config._inverse_lookup(found)
    if known is not None:
        return known.selector
    module, _, name = path.rpartition(".")
    with gin.unlock_config():
        gin.register(name, module=module)(found)
    return path


def bind(bindings: Iterable[Binding]) -> None:
    """Give the bindings to gin and lock the configuration.

    Raises:
        ConfigError: gin refuses one of them.
    """
    for binding in bindings:
        place = f"{binding.origin}: {binding.written}"
        value = syntax.mapped(binding.value, partial(_leaf, place=place))
        try:
            gin.bind_parameter((binding.scope, binding.target, binding.parameter), value)
        except ValueError as error:
            raise ConfigError(f"{binding.origin}: {binding.written}: {error}") from error
    gin.finalize()


def configured(path: str) -> Callable[..., Any]:
    """Return the class or function of a registered path as the configuration binds it."""
    return gin.get_configurable(path)


def evaluated(macro: str) -> Any:
    """Return the value of a macro: factories configured, calls called."""
    return deepcopy(_Reference(f"{macro}/{syntax.MACRO}", evaluate=True, place=macro))


def operative_config_str() -> str:
    """Return what was really used since the configuration was loaded, defaults included."""
    return gin.operative_config_str()


class _Reference(config.ConfigurableReference):
    """A reference that gin evaluates behind the wall, where the binding that holds it is told."""

    def __init__(self, name: str, *, evaluate: bool, place: str) -> None:
        super().__init__(name, evaluate)
        self._place = place

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Return what the reference stands for: gin's way of evaluating one."""
        with wall(self._place):
            return super().__deepcopy__(memo)


def _leaf(leaf: Any, *, place: str) -> Any:
    """Return a reference or macro as gin's own object.

    Args:
        leaf: of a binding's value.
        place: where the binding stands, for messages.
    """
    if isinstance(leaf, Macro) and leaf.name == REQUIRED:
        return config.ConfigurableReference(f"{REQUIRED}/gin.constant", evaluate=True)
    if isinstance(leaf, Macro):
        return _Reference(f"{leaf.name}/{syntax.MACRO}", evaluate=True, place=place)
    if isinstance(leaf, Reference):
        name = f"{leaf.scope}/{leaf.target}" if leaf.scope else leaf.target
        return _Reference(name, evaluate=leaf.is_call, place=place)
    return leaf
