"""SeqIO sources over the record cache: files or a Python generator in, examples out.

Registering a task with such a source reads nothing. The first use validates the files in
Python, writes the examples to the record cache, and from then on tf.data reads only that.

Every source takes `splits`, a mapping from the split's name to its files, and `on_error`:
"raise" or "skip" a defect (see `lm.data.storage.readers`).
"""

import functools
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import seqio
import tensorflow as tf

from lm.data.storage import files, fingerprints, readers, record_cache
from lm.data.storage.defects import DefectReport
from lm.errors import UserError

_LOG = logging.getLogger(__name__)
Reader = Callable[..., Iterator[Any]]
Paths = readers.Paths
Lazy = Callable[[], Paths]


class CachedSource(seqio.DataSource):
    """A SeqIO source whose splits are written to the record cache at their first use.

    Args:
        name: a readable name for the cache folder.
        examples: for each split, a function that yields its examples.
        fingerprints: for each split, a function that returns all that decides the examples, as
            plain JSON values.
        description: what the source was made from, as plain JSON values.
        require: checks that the data of a split are on this machine, without reading them; raises
            UserError if they are not.

    Attributes:
        examples, fingerprints, description, require: the arguments.
    """

    def __init__(
        self,
        *,
        name: str,
        examples: Mapping[str, Callable[[], Iterable[record_cache.Example]]],
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
        """Returns the number of examples of a split, caching it if need be."""
        return record_cache.count(self._folder(split))

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
        """Returns the examples of a split in their stable order; shuffling is the pipeline's."""
        del shuffle, seed, shard_info, sequence_length, use_cached, num_epochs
        return record_cache.dataset(self._folder(split))

    def _fingerprint(self, split: str) -> Mapping[str, Any]:
        """Returns all that decides the examples of a split, as plain JSON values."""
        if split not in self.fingerprints:
            raise UserError(f"{self.name}: no split {split!r}; it has {', '.join(self.splits)}")
        return self.fingerprints[split]()

    def _folder(self, split: str) -> Path:
        fingerprint = self.fingerprint(split)
        return record_cache.cached(f"{self.name}-{split}", fingerprint, self.examples[split])


def text_source(
    splits: Mapping[str, Paths | Lazy],
    *,
    reader: Reader = readers.read_text_lines,
    on_error: str = "raise",
    feature: str = "text",
    options: Mapping[str, Any] | None = None,
) -> CachedSource:
    """A source of `{feature: text}` from text files.

    Args:
        splits: files of each split: a path, a glob, several, or a function returning them (so
            that e.g. `lm.data.storage.files.data_dir()` is asked at the first use).
        reader: `read_text_lines`, `read_paragraphs` or `read_documents` of `readers`.
        on_error: "raise" or "skip".
        feature: name of the text's feature.
        options: further arguments of the reader.

    Example:
        >>> source = text_source({"train": "corpus/*.txt"})
        >>> source.splits
        ('train',)
    """
    return _source(splits, reader, options or {}, on_error, wrap=lambda text: {feature: text})


def rows_source(
    splits: Mapping[str, Paths | Lazy],
    reader: Reader,
    on_error: str = "raise",
    options: Mapping[str, Any] | None = None,
) -> CachedSource:
    """A source of the rows that a reader of files yields.

    Args:
        splits: as in `text_source`.
        reader: a function of paths and a `report`, as those of `lm.data.storage.readers`.
        on_error: "raise" or "skip".
        options: further arguments of the reader.
    """
    return _source(splits, reader, options or {}, on_error)


def parallel_source(
    splits: Mapping[str, Mapping[str, Paths | Lazy]], *, on_error: str = "raise"
) -> CachedSource:
    """A source of rows from aligned text files, one feature per column.

    Args:
        splits: for each split, the file of each column, e.g. `{"train": {"en": "train.en.txt",
            "de": "train.de.txt"}}`.
        on_error: "raise" or "skip"; a pair with a defect on either side is left out whole.
    """
    return _source(splits, readers.read_parallel, {}, on_error)


def tsv_source(
    splits: Mapping[str, Paths | Lazy],
    *,
    columns: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    check: readers.Check | None = None,
    on_error: str = "raise",
) -> CachedSource:
    """A source of rows from tab-separated files; arguments as in `read_tsv`."""
    options = {"columns": columns, "names": names}
    return _source(splits, readers.read_tsv, options, on_error, check=check)


def jsonl_source(
    splits: Mapping[str, Paths | Lazy],
    *,
    fields: Sequence[str],
    as_text: Sequence[str] = (),
    check: readers.Check | None = None,
    on_error: str = "raise",
) -> CachedSource:
    """A source of the text in these fields of JSON-lines files; arguments as in `read_jsonl`."""
    options = {"fields": fields} | ({"as_text": as_text} if as_text else {})
    return _source(splits, readers.read_jsonl, options, on_error, check=check)


def examples_source(
    name: str,
    splits: Mapping[str, Callable[[], Iterable[record_cache.Example]]],
    *,
    fingerprint: Callable[[], Mapping[str, Any]],
    require: Callable[[str], None] | None = None,
) -> CachedSource:
    """A source of examples that Python functions make.

    Args:
        name: a readable name for the cache folder.
        splits: for each split, a function that yields its examples: dicts of text, numbers or
            lists of them, all with the same features.
        fingerprint: returns all that decides the examples, as plain JSON values, e.g. the
            version of the library that they come from. Called at the first use.
        require: as in `CachedSource`.
    """
    bind = functools.partial
    fingerprints = {split: bind(_extended, fingerprint, {"split": split}) for split in splits}
    return CachedSource(name=name, examples=splits, fingerprints=fingerprints, require=require)


def held_out(source: CachedSource, part: float) -> CachedSource:
    """A source whose split `validation` is a part of what was `train`, chosen by content.

    Args:
        source: a source with a split `train`.
        part: share of the examples, between 0 and 1.

    Raises:
        UserError: if there is no such share.
    """
    if not 0 < part < 1:
        raise UserError(f"held_out={part}: must lie between 0 and 1")
    bounds = {"train": (part, 1.0), "validation": (0.0, part)}
    train = source.fingerprints["train"]
    bind = functools.partial
    cut = {name: bind(_between, source.examples["train"], bound) for name, bound in bounds.items()}
    marks = {name: bind(_extended, train, {"bounds": bound}) for name, bound in bounds.items()}
    return CachedSource(
        name=source.name,
        examples={**source.examples, **cut},
        fingerprints={**source.fingerprints, **marks},
        description=[source.description, part],
    )


def joined(name: str, *sources: CachedSource) -> CachedSource:
    """A source of the examples of several, one after the other, in the splits that all have.

    Args:
        name: a readable name for the cache folder.
        sources: of examples with the same features.
    """
    splits = [split for split in sources[0].splits if all(split in s.splits for s in sources)]
    bind = functools.partial
    return CachedSource(
        name=name,
        examples={split: bind(_chained, sources, split) for split in splits},
        fingerprints={split: bind(_fingerprints, sources, split) for split in splits},
        description=[source.description for source in sources],
    )


def share(text: str) -> float:
    """Returns a stable pseudo-random number in [0, 1) made from the text's content.

    Splits made with it are disjoint by content: equal texts fall on the same side.

    Example:
        >>> round(share("a line"), 3) == round(share("a line"), 3)
        True
    """
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _extended(
    fingerprint: Callable[[], Mapping[str, Any]], more: Mapping[str, Any]
) -> Mapping[str, Any]:
    return {**fingerprint(), **more}


def _chained(sources: Sequence[CachedSource], split: str) -> Iterator[record_cache.Example]:
    """Yields the examples of a split of every source."""
    for source in sources:
        yield from source.examples[split]()


def _fingerprints(sources: Sequence[CachedSource], split: str) -> Mapping[str, Any]:
    """Returns all that decides them."""
    return {"sources": [source.fingerprint(split) for source in sources]}


def _between(
    examples: Callable[[], Iterable[record_cache.Example]], bounds: tuple[float, float]
) -> Iterator[record_cache.Example]:
    """Yields the examples whose share lies between two bounds."""
    low, high = bounds
    for example in examples():
        if low <= share(json.dumps(example, sort_keys=True, ensure_ascii=False)) < high:
            yield example


def _source(
    splits: Mapping[str, Any],
    reader: Reader,
    options: Mapping[str, Any],
    on_error: str,
    wrap: Callable[[Any], record_cache.Example] = dict,
    *,
    check: readers.Check | None = None,
) -> CachedSource:
    """Builds the source of a reader of files."""
    DefectReport(on_error)  # a wrong choice is an error now, not at the first use
    bind = functools.partial
    checked = {**options, "check": check} if check else options
    fingerprints_of = {
        split: bind(_describe, paths, reader, options, on_error) for split, paths in splits.items()
    }
    if check:
        fingerprints_of = {
            split: bind(_checked, describe, check) for split, describe in fingerprints_of.items()
        }
    return CachedSource(
        name=reader.__name__.removeprefix("read_"),
        examples={
            split: bind(_read, paths, reader, checked, on_error, wrap)
            for split, paths in splits.items()
        },
        fingerprints=fingerprints_of,
        description=fingerprints.settings([reader, splits, options, on_error]),
    )


def _checked(
    fingerprint: Callable[[], Mapping[str, Any]], check: readers.Check
) -> Mapping[str, Any]:
    return {**fingerprint(), "check": check.describe()}


def _read(
    paths: Any, reader: Reader, options: Mapping[str, Any], on_error: str, wrap: Callable
) -> Iterator[record_cache.Example]:
    """Yields the examples of one split and logs what was skipped."""
    report = DefectReport(on_error)
    for item in reader(_resolve(paths), report=report, **options):
        yield wrap(item)
    if report.counts:
        _LOG.warning("skipped or repaired while reading: %s", report)


def _describe(
    paths: Any, reader: Reader, options: Mapping[str, Any], on_error: str
) -> Mapping[str, Any]:
    """Returns all that decides the examples of one split."""
    resolved = _resolve(paths)
    sides = resolved if isinstance(resolved, Mapping) else {"": resolved}
    return {
        "reader": reader.__name__,
        "options": fingerprints.describe(options),
        "on_error": on_error,
        "files": {side: files.fingerprint(files.expand(named)) for side, named in sides.items()},
    }


def _resolve(paths: Any) -> Any:
    """Calls what was given as a function, on every side of parallel files."""
    if isinstance(paths, Mapping):
        return {side: _resolve(named) for side, named in paths.items()}
    return paths() if callable(paths) else paths
