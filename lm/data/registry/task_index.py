"""The index of all tasks and whether their data are on this machine; loads no framework.

`tools/task_index.py` writes the index from the registry, and a test compares the two.
"""

import ast
import difflib
import glob
import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from lm.data.storage import files

_SENTENCE = re.compile(r"(?<!e\.g)(?<!i\.e)[.;](?:\s|\Z)|\Z")


class Entry(NamedTuple):
    """A task, a mixture or a pattern of names.

    Attributes:
        name: the name, with `<...>` for one of several words.
        kind: "task", "mixture", or "t5": either, of the package t5.
        module: the module that registers it.
        data: what it reads, separated by spaces: `tfds:<name>` or a file below LM_DATA_DIR;
            empty for what is built in or depends on the name.
        about: one sentence.
    """

    name: str
    kind: str
    module: str
    data: str
    about: str

    def missing(self) -> list[str]:
        """Returns what it reads that is not on this machine."""
        return [source for source in self.data.split() if not _is_here(source)]


def _folder() -> Path:
    """Returns the folder of the package `tasks`, which is not imported."""
    spec = find_spec("tasks")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package `tasks` is not installed")
    return Path(spec.origin).parent


T5 = "t5"  # the kind of what the package t5 registers
_LIKE = 0.85
INDEX = _folder() / "index.tsv"


def entries(kind: str) -> Iterator[Entry]:
    """Yields the entries of a kind, "task" or "mixture"."""
    for line in INDEX.read_text(encoding="utf-8").splitlines()[1:]:
        entry = Entry(*line.split("\t"))
        if entry.kind == kind:
            yield entry


def misspelt(name: str) -> str | None:
    """Returns the name probably meant by a misspelt one, or None.

    None if the name is in the index, follows a pattern or resembles no other. Only the registry
    knows then, since a user's own modules and other versions of t5 register more.

    Example:
        >>> misspelt("pyhton_docs"), misspelt("python_docs"), misspelt("glue_cola_v002")
        ('python_docs', None, None)
    """
    names = [entry.name for kind in ("task", "mixture", T5) for entry in entries(kind)]
    patterns = [re.sub("<[^>]*>", ".+", re.escape(n)) for n in names if "<" in n]
    known = name.removesuffix("_available")
    if known in names or any(re.fullmatch(pattern, known) for pattern in patterns):
        return None
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=_LIKE)), None)


def about(module: str) -> str:
    """Returns the first sentence of a task module's docstring, after the names that begin it."""
    path = _folder().parent.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_bytes())) or ""
    head = " ".join(text.partition("\n\n")[0].split())
    return first_sentence(head.partition(": ")[2] or head)


def first_sentence(text: str) -> str:
    """Returns a text up to the end of its first sentence.

    Example:
        >>> first_sentence("captions, e.g. of dogs; in all six directions. More.")
        'captions, e.g. of dogs'
    """
    end = _SENTENCE.search(text)
    return text[: end.start()] if end else text


def _is_here(source: str) -> bool:
    """Returns whether the data of a source are on this machine."""
    if not source.startswith("tfds:"):
        return bool(glob.glob(str(files.data_dir() / source)))
    name = source.removeprefix("tfds:").replace(":", "/")
    folder = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    return (folder / name).is_dir()
