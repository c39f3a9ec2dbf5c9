"""The token store: a tokenized split as flat arrays with offsets, in memory and on disk.

The preprocessors before `seqio.CacheDatasetPlaceholder` run once and their output is stored, those
after it run again in every epoch. The store is a view of NumPy arrays with random access, so a
whole split is shuffled by shuffling indices.
"""

import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from lm.data.mapping import mapped
from lm.data.storage import files, fingerprints
from lm.data.storage.files import publish, read_manifest, verify
from lm.errors import UserError
from lm.quiet import without_log_lines

_LOG = logging.getLogger(__name__)
FORMAT = 1
MEMORY_LIMIT = 2**30
_BATCH = 512

Parts = dict[str, list[np.ndarray]]


class Column:
    """One feature of all examples: scalars, or concatenated vectors with their offsets.

    Args:
        values: numbers, or bytes as objects: [N] or [total].
        offsets: int64 [N + 1], where each example's vector starts; None for scalars.
    """

    def __init__(self, values: np.ndarray, offsets: np.ndarray | None):
        self.values = values
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    def reader(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns a function from an index to the example's value, for use in tf.data."""
        with tf.device("/cpu:0"):
            values = tf.constant(self.values)
            offsets = None if self.offsets is None else tf.constant(self.offsets)
        if offsets is None:
            return lambda i: values[i]
        return lambda i: values[offsets[i] : offsets[i + 1]]


class TokenStore:
    """The examples of a tokenized split, by columns.

    Args:
        columns: the column of each feature, all of one length.
    """

    def __init__(self, columns: Mapping[str, Column]):
        self.columns = dict(columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def sizes(self, feature: str) -> np.ndarray:
        """Returns the number of items of a feature's vector in every example: int64 [N]."""
        offsets = self.columns[feature].offsets
        return np.ones(len(self), np.int64) if offsets is None else np.diff(offsets)

    def dataset(self, indices: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the examples at these indices, in their order."""
        readers = {name: column.reader() for name, column in self.columns.items()}
        return mapped(indices, lambda i: {name: read(i) for name, read in readers.items()})


def open_store(task: seqio.Task, split: str, *, limit: int = MEMORY_LIMIT) -> TokenStore | None:
    """Returns the store of a task's split, read from disk if it was saved.

    Args:
        task: the task; its preprocessors before `seqio.CacheDatasetPlaceholder` are applied.
        split: name of the split.
        limit: maximum size in bytes.

    Returns:
        The store; None if the task has no placeholder, or the split exceeds the limit.

    Raises:
        UserError: a cache on disk is damaged.
    """
    if not task.supports_caching:
        _LOG.info("%s: no CacheDatasetPlaceholder, tokenized anew every epoch", task.name)
        return None
    folder = folder_of("tokens", task, split)
    manifest = read_manifest(folder) if folder else None
    if folder and manifest:
        return _load(folder, manifest) if manifest["bytes"] <= limit else None
    columns = _collect(task, split, limit)
    if columns is not None and folder:
        _save(folder, columns)
    return None if columns is None else TokenStore(columns)


def examples(task: seqio.Task, split: str, *, seed: int = 0) -> tf.data.Dataset:
    """Returns the examples of a split in order, after the cacheable preprocessors."""
    dataset = task.source.get_dataset(split=split, shuffle=False)
    return task.preprocess_precache(dataset, seed=seed)


def folder_of(kind: str, task: seqio.Task, split: str) -> Path | None:
    """Returns the folder of such a store, None if its source has no fingerprint."""
    made_from = fingerprints.source(task.source, split)
    if made_from is None:
        return None
    fingerprint = [
        FORMAT,
        made_from,
        fingerprints.describe(_cacheable(task)),
        fingerprints.features(task.output_features),
        fingerprints.versions(),
    ]
    text = json.dumps(fingerprint, sort_keys=True, default=str)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return files.cache_dir() / kind / f"{task.name}-{split}".replace("/", "_") / key


def _cacheable(task: seqio.Task) -> list[Any]:
    """Returns the preprocessors before the placeholder."""
    steps = list(task.preprocessors)
    mark = next(i for i, p in enumerate(steps) if isinstance(p, seqio.CacheDatasetPlaceholder))
    return steps[:mark]


def _collect(task: seqio.Task, split: str, limit: int) -> dict[str, Column] | None:
    """Tokenizes a split into columns; None if they exceed the limit."""
    dataset = examples(task, split)
    if any(
        spec.shape.rank is None or spec.shape.rank > 1 for spec in dataset.element_spec.values()
    ):
        _LOG.info("%s: has features of rank 2, tokenized anew every epoch", task.name)
        return None
    total = task.num_input_examples(split)
    parts: Parts = {}
    seen = held = 0
    for batch in _begun(dataset.ragged_batch(_BATCH).prefetch(1)):
        seen += _append(parts, batch)
        held = sum(chunk.nbytes for chunks in parts.values() for chunk in chunks)
        if max(held, held / seen * (total or 0)) > limit:
            _LOG.warning("%s/%s: over %d bytes, read as a stream", task.name, split, limit)
            return None
    if not seen:
        raise UserError(f"{task.name}: split {split!r} has no examples after preprocessing")
    return _joined(parts, dataset.element_spec)


def _begun(batches: tf.data.Dataset) -> Iterator[Mapping[str, Any]]:
    """Returns the batches after making the first: SentencePiece then logs that it opens a model."""
    iterator = iter(batches)
    with without_log_lines():
        first = list(itertools.islice(iterator, 1))
    return itertools.chain(first, iterator)


def _append(parts: Parts, batch: Mapping[str, Any]) -> int:
    """Adds the values and sizes of a batch; returns the number of its examples."""
    number = 0
    for name, value in batch.items():
        if isinstance(value, tf.RaggedTensor):
            parts.setdefault(f"{name}/sizes", []).append(value.row_lengths().numpy())
            value = value.flat_values
        elif value.shape.rank == 2:  # noqa: PLR2004 - vectors of one known size
            rows, width = value.shape
            parts.setdefault(f"{name}/sizes", []).append(np.full(rows, width, np.int64))
            value = tf.reshape(value, [-1])
        parts.setdefault(name, []).append(value.numpy())
        number = len(parts.get(f"{name}/sizes", parts[name])[-1])
    return number


def _joined(parts: Parts, names: Mapping[str, Any]) -> dict[str, Column]:
    columns = {}
    for name in names:
        sizes = parts.get(f"{name}/sizes")
        offsets = np.concatenate([[0], *sizes]).cumsum() if sizes else None
        columns[name] = Column(np.concatenate(parts[name]), offsets)
    return columns


def _save(folder: Path, columns: Mapping[str, Column]) -> None:
    """Saves columns as arrays; texts as their bytes and end positions."""
    metadata: dict[str, Any] = {"columns": {}}
    with publish(folder, metadata) as temporary:
        for number, (name, column) in enumerate(columns.items()):
            arrays = dict(_arrays(column))
            for part, array in arrays.items():
                np.save(temporary / f"{number}.{part}.npy", array)
            metadata["columns"][name] = [number, list(arrays)]
        metadata["bytes"] = sum(path.stat().st_size for path in temporary.iterdir())


def _arrays(column: Column) -> Iterator[tuple[str, np.ndarray]]:
    if column.offsets is not None:
        yield "offsets", column.offsets
    if column.values.dtype != object:
        yield "values", column.values
        return
    yield "text", np.frombuffer(b"".join(column.values), np.uint8)
    yield "ends", np.cumsum([0, *map(len, column.values)])


def _load(folder: Path, manifest: Mapping[str, Any]) -> TokenStore:
    verify(folder, dict(manifest))
    columns = {}
    for name, (number, parts) in manifest["columns"].items():
        arrays = {part: np.load(folder / f"{number}.{part}.npy") for part in parts}
        values = arrays["values"] if "values" in arrays else _texts(arrays["text"], arrays["ends"])
        columns[name] = Column(values, arrays.get("offsets"))
    return TokenStore(columns)


def _texts(text: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Splits bytes at their end positions: [total], [N + 1] → N bytes objects."""
    buffer = text.tobytes()
    pairs = zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    values = np.empty(len(ends) - 1, object)
    values[:] = [buffer[start:end] for start, end in pairs]
    return values
