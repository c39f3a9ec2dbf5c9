"""Suggests which of the package's gin files to add to a configuration that lacks a name."""

import re
from collections.abc import Iterator
from pathlib import Path

from lm import resources

# What a run needs, as the head of runs/pretrain.gin lists it.
_MACROS = {
    "MODEL": "models/gpt2/small.gin",
    "OBJECTIVE": "objectives/token_prediction.gin",
    "OPTIMIZER": "optim/adamw.gin",
    "FEATURE_CONVERTER": "features/language_model.gin",
    "MIXTURE_OR_TASK_NAME": "data/python_docs.gin",
    "TASK_FEATURE_LENGTHS": "data/python_docs.gin",
}
_LAST = ("papers", "bench")  # folders whose files are whole experiments


def file_for_macro(name: str) -> str:
    """Returns the end of an error about a macro that every run needs; empty for others.

    Example:
        >>> file_for_macro("OBJECTIVE")
        '; add --gin_file=objectives/token_prediction.gin, or another file of gin/objectives'
    """
    file = _MACROS.get(name)
    if file is None:
        return ""
    return f"; add --gin_file={file}, or another file of gin/{file.partition('/')[0]}"


def file_naming(selector: str) -> str | None:
    """Returns the package's most general gin file that uses a selector; None if there is none.

    Args:
        selector: as written, such as `adamw.adamw`.

    Example:
        >>> file_naming("adamw.adamw")
        'optim/adamw.gin'
    """
    return min(_naming(selector), key=_rank, default=None)


def module_of(selector: str) -> str | None:
    """Returns the module that the package's gin files import to name something so.

    Example:
        >>> module_of("adamw.adamw")
        'lm.optim.adamw'
    """
    prefix, file = selector.rpartition(".")[0], file_naming(selector)
    text = (resources.gin_folder() / file).read_text(encoding="utf-8") if file else ""
    found = re.search(rf"^from (\S+) import {re.escape(prefix)}$", text, re.MULTILINE)
    return f"{found[1]}.{prefix}" if found else None


def _naming(selector: str) -> Iterator[str]:
    """Yields the gin files that use a selector."""
    name = re.compile(rf"(^|[@/]){re.escape(selector)}\b", re.MULTILINE)
    root = resources.gin_folder()
    for path in root.rglob("*.gin"):
        if name.search(path.read_text(encoding="utf-8")):
            yield str(path.relative_to(root))


def _rank(file: str) -> tuple[bool, int, int, str]:
    """Returns a key that sorts general files before those of an experiment."""
    return file.startswith(_LAST), len(Path(file).parts), len(file), file
