"""Sources whose examples a Python function computes from rows of TFDS or lines of JSON files."""

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import seqio

from lm.data.registry import task_registry
from lm.data.storage import files, fingerprints, readers, sources
from lm.data.storage.plain import plain
from lm.data.storage.readers import Row
from lm.data.storage.record_cache import CachedSource

Reading: TypeAlias = Callable[[Row], Iterable[Row]]
"""A row of TFDS or of a file -> the examples in it."""

Lazy = sources.Lazy


def tfds_source(name: str, data_set: str, splits: Mapping[str, str], read: Reading) -> CachedSource:
    """Returns a source of the examples that a reading makes of a TFDS data set.

    Args:
        name: name of the task, for errors and the cache.
        data_set: its name and version, such as `squad/v2.0:3.0.0`.
        splits: our name of a split -> TFDS's.
        read: the reading.
    """
    source = seqio.TfdsDataSource(data_set, splits=dict(splits))
    bind = functools.partial
    return sources.examples_source(
        name,
        {split: bind(_of_tfds, source, split, read) for split in splits},
        fingerprint=lambda: {"tfds": data_set, "code": fingerprints.describe(read)},
        require=bind(task_registry.require_tfds, name, source),
    )


def jsonl_source(
    name: str, splits: Mapping[str, Lazy], read: Reading, *, held_out: float = 0.0
) -> CachedSource:
    """Returns a source of the examples that a reading makes of JSON lines.

    Args:
        name: name of the task, for the cache.
        splits: files of each split.
        read: the reading.
        held_out: fraction of the lines of `train`, chosen by content, that becomes `validation`.
    """
    bind = functools.partial
    found = {split: bind(_of_lines, paths, read) for split, paths in splits.items()}
    if held_out:
        train = splits["train"]
        found["train"] = bind(_of_lines, train, read, (held_out, 1.0))
        found["validation"] = bind(_of_lines, train, read, (0.0, held_out))

    def about() -> Mapping[str, Any]:
        paths = [path for lazy in splits.values() for path in files.expand(lazy())]
        code = fingerprints.describe(read)
        return {"files": files.fingerprint(paths), "code": code, "held_out": held_out}

    return sources.examples_source(name, found, fingerprint=about)


def _of_tfds(source: seqio.TfdsDataSource, split: str, read: Reading) -> Iterator[Row]:
    for row in source.get_dataset(split, shuffle=False).as_numpy_iterator():
        yield from read(plain(row))


def _of_lines(
    paths: Lazy, read: Reading, bounds: tuple[float, float] = (0.0, 1.0)
) -> Iterator[Row]:
    low, high = bounds
    for row in readers.read_jsonl(paths()):
        if low <= sources.share(json.dumps(row, sort_keys=True, ensure_ascii=False)) < high:
            yield from read(row)
