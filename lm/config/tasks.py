"""Which module of `tasks` registers a name: found by its own name, imported when it is asked for.

A module's name begins the names that it registers: `multi30k_ende` is `tasks.multi30k`'s. A gin
file imports what it uses by itself; this serves the verbs that take a task's name.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lm.data.registry import Provider


def modules() -> list[str]:
    """Names of the task modules, without `tasks.` before them; imports none of them.

    Example:
        >>> "multi30k" in modules()
        True
    """
    folders = importlib.import_module("tasks").__path__
    return sorted(found.name for found in pkgutil.iter_modules(folders) if not found.ispkg)


def register(name: str) -> None:
    """Import the modules that may register a task or mixture of this name."""
    for module in modules():
        if name.startswith(module):
            importlib.import_module(f"tasks.{module}")


def register_all() -> None:
    """Import every task module and t5's tasks."""
    from lm.data import registry

    for module in modules():
        importlib.import_module(f"tasks.{module}")
    registry.register_t5()


def find(name: str) -> "Provider":
    """The task or mixture of this name, from `tasks`, from t5 or from modules imported before.

    Raises:
        UserError: naming the nearest name there is.
    """
    from lm.data import registry

    register(name)
    if name not in registry.names():
        register_all()
    return registry.get(name)
