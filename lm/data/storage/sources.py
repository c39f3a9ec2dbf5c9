"""SeqIO sources: files or a Python generator, read through the record cache.

Registering a task with such a source reads nothing. The first use validates the files in Python
and writes the examples to the record cache; from then on tf.data reads only the cache.

Every source takes `splits`, a mapping from the split's name to its files, and `on_error`:
"raise" or "skip" a defect (see `lm.data.storage.readers`).
"""

import functools
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from lm.data.storage import files, fingerprints, readers
from lm.data.storage.lines import DefectReport
from lm.data.storage.record_cache import CachedSource, Example
from lm.errors import UserError

_LOG = logging.getLogger(__name__)
Reader = Callable[..., Iterator[Any]]
Paths = readers.Paths
Lazy = Callable[[], Paths]


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
        splits: files of each split: a path, a glob, several, or a function that returns them (so
            that e.g. `lm.data.storage.files.data_dir()` is called at the first use).
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
        on_error: "raise" or "skip"; a defect on either side leaves out the pair.
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
    splits: Mapping[str, Callable[[], Iterable[Example]]],
    *,
    fingerprint: Callable[[], Mapping[str, Any]],
    require: Callable[[str], None] | None = None,
) -> CachedSource:
    """A source of examples that Python functions make.

    Args:
        name: a readable name for the cache folder.
        splits: for each split, a function that yields its examples: dicts of text, numbers or
            lists of them, all with the same features.
        fingerprint: returns everything that determines the examples, as plain JSON values, e.g. the
            version of the library that makes them. Called at the first use.
        require: as in `CachedSource`.
    """
    bind = functools.partial
    fingerprints = {split: bind(_extended, fingerprint, {"split": split}) for split in splits}
    return CachedSource(name=name, examples=splits, fingerprints=fingerprints, require=require)


def held_out(source: CachedSource, part: float) -> CachedSource:
    """A source with a part of `train`, chosen by content, as the split `validation`.

    Args:
        source: a source with a split `train`.
        part: fraction of the examples, between 0 and 1.

    Raises:
        UserError: `part` is not between 0 and 1.
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
    """A source of the concatenated examples of several, with the splits that all have.

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
    """Returns a pseudo-random number in [0, 1) that depends only on the text.

    Splits made with it are disjoint by content: equal texts are in the same split.

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


def _chained(sources: Sequence[CachedSource], split: str) -> Iterator[Example]:
    """Yields the examples of a split of every source."""
    for source in sources:
        yield from source.examples[split]()


def _fingerprints(sources: Sequence[CachedSource], split: str) -> Mapping[str, Any]:
    """Returns everything that determines them."""
    return {"sources": [source.fingerprint(split) for source in sources]}


def _between(
    examples: Callable[[], Iterable[Example]], bounds: tuple[float, float]
) -> Iterator[Example]:
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
    wrap: Callable[[Any], Example] = dict,
    *,
    check: readers.Check | None = None,
) -> CachedSource:
    """Builds the source of a reader of files."""
    DefectReport(on_error)  # raises for a wrong value now, not at the first use
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
) -> Iterator[Example]:
    """Yields the examples of one split and logs what was skipped."""
    report = DefectReport(on_error)
    for item in reader(_resolve(paths), report=report, **options):
        yield wrap(item)
    if report.counts:
        _warn_once(report.losses())


@functools.lru_cache(maxsize=64)
def _warn_once(losses: str) -> None:
    """Logs what was left out; splits held out of the same files need not say it twice."""
    _LOG.warning(losses)


def _describe(
    paths: Any, reader: Reader, options: Mapping[str, Any], on_error: str
) -> Mapping[str, Any]:
    """Returns everything that determines the examples of one split."""
    resolved = _resolve(paths)
    sides = resolved if isinstance(resolved, Mapping) else {"": resolved}
    return {
        "reader": reader.__name__,
        "options": fingerprints.describe(options),
        "on_error": on_error,
        "files": {side: files.fingerprint(files.expand(named)) for side, named in sides.items()},
    }


def _resolve(paths: Any) -> Any:
    """Returns paths after calling those given as functions, for every column of parallel files."""
    if isinstance(paths, Mapping):
        return {side: _resolve(named) for side, named in paths.items()}
    return paths() if callable(paths) else paths
