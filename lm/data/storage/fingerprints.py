"""Fingerprints of code and data, by which caches and checkpoints are compared."""

import functools
import hashlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import seqio

from lm import disk
from lm.data.storage import files
from lm.data.vocabulary import fingerprint as vocabulary_fingerprint
from lm.installed import version

_SIMPLE = (str, int, float, bool, type(None))


def describe(thing: Any) -> Any:
    """Returns a JSON value that changes when a preprocessor or its arguments change.

    Of a function these are its name and its file's contents, so that a change to a helper in the
    same file counts too, and the values of bound arguments and captured variables.
    """
    if isinstance(thing, _SIMPLE):
        return thing
    if isinstance(thing, Mapping):
        return {str(name): describe(value) for name, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [describe(value) for value in thing]
    if isinstance(thing, seqio.Vocabulary):
        return vocabulary_fingerprint(thing)
    if isinstance(thing, functools.partial):
        return [describe(thing.func), describe(thing.args), describe(thing.keywords)]
    return _code(inspect.unwrap(thing)) if callable(thing) else _plain(thing)


def features(output_features: Mapping[str, seqio.Feature]) -> dict[str, Any]:
    """Returns everything that determines the ids of each feature of a task."""
    return {
        name: {"vocabulary": vocabulary_fingerprint(feature.vocabulary), "add_eos": feature.add_eos}
        for name, feature in output_features.items()
    }


def source(data_source: seqio.DataSource, split: str) -> Mapping[str, Any] | None:
    """Returns everything that determines the examples of a source, None if unknown."""
    if hasattr(data_source, "fingerprint"):
        return data_source.fingerprint(split)
    if isinstance(data_source, seqio.TfdsDataSource):
        return {"tfds": str(data_source.tfds_dataset), "split": split}
    if isinstance(data_source, seqio.FileDataSource):
        return {"files": files.fingerprint(data_source.list_shards(split))}
    return None


def settings(thing: Any) -> Any:
    """Returns names and values of an object's settings; unlike `describe`, without code.

    Example:
        >>> settings([round, functools.partial(round, ndigits=2)])
        ['round', ['round', [], {'ndigits': 2}]]
    """
    if isinstance(thing, (*_SIMPLE, Path)):
        return str(thing) if isinstance(thing, Path) else thing
    if isinstance(thing, Mapping):
        return {str(name): settings(value) for name, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [settings(value) for value in thing]
    if isinstance(thing, functools.partial):
        return [settings(thing.func), settings(thing.args), settings(thing.keywords)]
    if hasattr(thing, "__qualname__"):
        return thing.__qualname__
    return [type(thing).__qualname__, settings(getattr(thing, "__dict__", {}))]


def versions() -> dict[str, str]:
    """Returns the versions of the tokenization libraries."""
    names = ("seqio-nightly", "seqio", "t5", "tensorflow-text", "sentencepiece")
    return {name: found for name in names if (found := version(name))}


def _code(function: Any) -> list[Any]:
    """Returns name, file hash and captured values of a function, class or callable object."""
    kind = function if hasattr(function, "__qualname__") else type(function)
    cells = getattr(function, "__closure__", None) or ()
    return [
        f"{kind.__module__}.{kind.__qualname__}",
        _file_hash(kind),
        [describe(cell.cell_contents) for cell in cells],
    ]


def _file_hash(kind: Any) -> str:
    try:
        return _hash_once(inspect.getfile(kind))
    except (OSError, TypeError):
        code = getattr(kind, "__code__", None)
        return hashlib.sha256(code.co_code if code else b"").hexdigest()


@functools.cache
def _hash_once(path: str) -> str:
    return disk.sha256(path)


def _plain(thing: Any) -> Any:
    """Returns type and fields of an object, without memory addresses."""
    fields = getattr(thing, "__dict__", {})
    simple = {name: value for name, value in fields.items() if isinstance(value, _SIMPLE)}
    return [type(thing).__qualname__, simple]
