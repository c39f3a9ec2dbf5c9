"""The record cache: validated examples in one checksummed file that tf.data reads.

Examples are dicts of text, numbers or lists of them. They are written once, in TensorFlow's record
format (a checksum per record), with a manifest of their count and types. tf.data reads them with
operations whose iterators can be saved.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import seqio
import tensorflow as tf

from lm.data.mapping import mapped
from lm.data.storage import files
from lm.data.storage.files import publish, read_manifest
from lm.errors import UserError

FORMAT = 1
RECORDS = "examples.tfrecord"

Example = Mapping[str, Any]


def cached(
    name: str,
    fingerprint: Mapping[str, Any],
    examples: Callable[[], Iterable[Example]],
) -> Path:
    """Returns the folder of the cached examples, writing it if it is not there yet.

    Args:
        name: a readable name, part of the folder's path.
        fingerprint: everything that determines the examples; each fingerprint has its own folder.
        examples: makes the examples; called only if they are not cached.

    Raises:
        UserError: the cache is damaged, or there are no examples.
    """
    folder = files.cache_dir() / "records" / name / key(fingerprint)
    if read_manifest(folder) is None:
        _write(folder, fingerprint, examples())
    return folder


def key(fingerprint: Mapping[str, Any]) -> str:
    """Returns a short hash of a fingerprint and of the cache's format."""
    text = json.dumps([FORMAT, fingerprint], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def count(folder: Path) -> int:
    """Returns the number of examples in a cache folder."""
    return _manifest(folder)["count"]


def dataset(folder: Path) -> tf.data.Dataset:
    """Returns the cached examples in the order in which they were written."""
    spec = {name: _parser(kind) for name, kind in _manifest(folder)["features"].items()}
    records = tf.data.TFRecordDataset(str(folder / RECORDS))
    return mapped(records, lambda record: tf.io.parse_single_example(record, spec))


def _manifest(folder: Path) -> dict[str, Any]:
    manifest = read_manifest(folder)
    if manifest is None:
        raise UserError(f"{folder}: the cache was deleted while in use; start again")
    return manifest


def _write(folder: Path, fingerprint: Mapping[str, Any], examples: Iterable[Example]) -> None:
    metadata: dict[str, Any] = {"format": FORMAT, "fingerprint": fingerprint}
    kinds: dict[str, str] = {}
    with publish(folder, metadata) as temporary:
        number = _write_file(temporary / RECORDS, _serialized(examples, kinds))
        if number == 0:
            raise UserError(f"{folder.parent.name}: no examples, nothing to read")
        metadata |= {"count": number, "features": kinds}


def _write_file(path: Path, serialized: Iterable[bytes]) -> int:
    """Writes records and returns their number; TensorFlow's own errors become OSError."""
    number = 0
    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in serialized:
                writer.write(record)
                number += 1
    except tf.errors.OpError as error:
        raise OSError(str(error.message)) from error
    return number


def _serialized(examples: Iterable[Example], kinds: dict[str, str]) -> Iterator[bytes]:
    """Yields records; fills `kinds` from the first example and checks the others against it."""
    for number, example in enumerate(examples, start=1):
        found = {name: _kind(value) for name, value in example.items()}
        kinds.update(kinds or found)
        if found != kinds:
            raise UserError(f"example {number} has features {found}, the first one has {kinds}")
        features = {name: _feature(value) for name, value in example.items()}
        message = tf.train.Example(features=tf.train.Features(feature=features))
        yield message.SerializeToString()


def _kind(value: Any) -> str:
    """Returns the kind of a value: "text", "int" or "float", with "[]" for a list.

    An empty list counts as one of text.
    """
    if isinstance(value, list | tuple):
        kinds = {_kind(item) for item in value} or {"text"}
        return f"{kinds.pop()}[]" if len(kinds) == 1 else "mixed"
    names: dict[type, str] = {str: "text", bytes: "text", bool: "int", int: "int", float: "float"}
    if type(value) not in names:
        raise UserError(f"cannot cache a value of type {type(value).__name__}: {value!r:.60}")
    return names[type(value)]


def _feature(value: Any) -> tf.train.Feature:
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values or isinstance(values[0], str | bytes):
        encoded = [item.encode() if isinstance(item, str) else item for item in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(item) for item in values]))


def _parser(kind: str) -> Any:
    dtype = {"text": tf.string, "int": tf.int64, "float": tf.float32}[kind.removesuffix("[]")]
    if kind.endswith("[]"):
        return tf.io.FixedLenSequenceFeature([], dtype, allow_missing=True)
    return tf.io.FixedLenFeature([], dtype)


class CachedSource(seqio.DataSource):
    """A SeqIO source whose splits are written to the record cache when first used.

    Args:
        name: a readable name for the cache folder.
        examples: for each split, a function that yields its examples.
        fingerprints: for each split, a function that returns everything that determines the
            examples, as plain JSON values.
        description: the source's origin, as plain JSON values.
        require: checks that the data of a split are on this machine, without reading them; raises
            UserError if they are not.

    Attributes:
        examples, fingerprints, description, require: the arguments.
    """

    def __init__(
        self,
        *,
        name: str,
        examples: Mapping[str, Callable[[], Iterable[Example]]],
        fingerprints: Mapping[str, Callable[[], Mapping[str, Any]]],
        description: Any = None,
        require: Callable[[str], None] | None = None,
    ):
        super().__init__(splits=tuple(examples))
        self.name = name
        self.examples = dict(examples)
        self.fingerprints = dict(fingerprints)
        self.description = description
        self.require = require
        self.fingerprint = functools.cache(self._fingerprint)

    @property
    def supports_arbitrary_sharding(self) -> bool:
        """False: a split is one file."""
        return False

    def list_shards(self, split: str) -> Sequence[str]:
        """Returns the single shard of a split."""
        return [split]

    def num_input_examples(self, split: str) -> int:
        """Returns the number of examples of a split, after caching it if necessary."""
        return count(self._folder(split))

    def get_dataset(
        self,
        split: str = "train",
        shuffle: bool = False,  # noqa: FBT001, FBT002 - SeqIO's signature
        seed: int | None = None,
        shard_info: seqio.ShardInfo | None = None,
        *,
        sequence_length: Mapping[str, int] | None = None,
        use_cached: bool = False,
        num_epochs: int | None = 1,
    ) -> tf.data.Dataset:
        """Returns the examples of a split in a fixed order; the pipeline shuffles them."""
        del shuffle, seed, shard_info, sequence_length, use_cached, num_epochs
        return dataset(self._folder(split))

    def _fingerprint(self, split: str) -> Mapping[str, Any]:
        """Returns everything that determines the examples of a split, as plain JSON values."""
        if split not in self.fingerprints:
            raise UserError(f"{self.name}: no split {split!r}; it has {', '.join(self.splits)}")
        return self.fingerprints[split]()

    def _folder(self, split: str) -> Path:
        fingerprint = self.fingerprint(split)
        return cached(f"{self.name}-{split}", fingerprint, self.examples[split])
