"""Bars on data: cut files are found and named, hostile corpora have a documented outcome."""

import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from lm.data.storage import files, readers, record_cache
from lm.data.storage.lines import DefectReport
from lm.data.vocabulary import byte_vocabulary
from lm.errors import UserError
from tests.reliability.bar import Bar, Result
from tests.reliability.corpora import CORPORA, FINE

LINES = [f"line {n} ü" for n in range(400)]
SHARES = (0.0, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.99, 0.999)


def gzipped(folder: Path) -> tuple[Path, Callable[[], object]]:
    """Makes a gzip file; returns it and what reads it whole."""
    path = folder / "text.txt.gz"
    path.write_bytes(gzip.compress("\n".join(LINES).encode()))
    return path, lambda: list(readers.read_text_lines(path))


def parallel(folder: Path) -> tuple[Path, Callable[[], object]]:
    """Makes aligned text files; one of them will be shorter."""
    sides = {name: folder / f"text.{name}" for name in ("de", "en")}
    for path in sides.values():
        path.write_text("\n".join(LINES) + "\n")
    return sides["en"], lambda: list(readers.read_parallel(sides))


def json_lines(folder: Path) -> tuple[Path, Callable[[], object]]:
    """Makes a file of one object per line that is cut inside one."""
    path = folder / "text.jsonl"
    path.write_text("".join(f'{{"n": {n}, "text": "line"}}\n' for n in range(400)))
    return path, lambda: list(readers.read_jsonl(path, fields=["text"]))


def fingerprinted(folder: Path) -> tuple[Path, Callable[[], object]]:
    """Makes a text file whose fingerprint a run remembers: a cut at a line's end looks whole."""
    path = folder / "text.txt"
    path.write_text("\n".join(LINES) + "\n")
    before = files.fingerprint([path])

    def compare() -> None:
        if files.fingerprint([path]) != before:
            raise UserError(f"{path}: is another file than the run began with")
        list(readers.read_text_lines(path))

    return path, compare


def cached_records(folder: Path) -> tuple[Path, Callable[[], object]]:
    """Makes a cache of TensorFlow records."""
    os.environ["LM_CACHE_DIR"] = str(folder / "cache")
    made = record_cache.cached(
        "bar", {"of": str(folder)}, lambda: ({"text": line} for line in LINES)
    )
    return made / record_cache.RECORDS, lambda: list(record_cache.dataset(made).as_numpy_iterator())


def array_cache(folder: Path) -> tuple[Path, Callable[[], object]]:
    """Makes a published folder as the token store's are."""
    place = folder / "tokens"
    with files.publish(place, {}) as temporary:
        (temporary / "0.values.npy").write_bytes(bytes(4096))

    def look() -> None:
        files.verify(place, files.read_manifest(place) or {})

    return place / "0.values.npy", look


KINDS = (gzipped, cached_records, array_cache, parallel, json_lines, fingerprinted)


def cuts(folder: Path) -> Iterator[tuple[str, Path, bytes, Callable[[], object]]]:
    """Yields every kind of file at every place: a name, the file, what is left, what reads it."""
    for share in SHARES:
        for make in KINDS:
            place = folder / f"{make.__name__}-{share}"
            place.mkdir()
            path, read = make(place)
            read()
            content = path.read_bytes()
            left = content[: int(len(content) * share)]
            if make is json_lines and left.endswith(b"\n"):  # cut at a line's end looks whole
                left = left[:-2]
            if make is parallel:  # at least one line is gone: a shorter line is no defect
                left = left.rpartition(b"\n")[0]
            yield f"{make.__name__} cut at {share:.1%}", path, left, read


def truncated(trials: int, folder: Path) -> Result:
    """Cuts data files: reading ends in an error that names the file."""
    before = os.environ.get("LM_CACHE_DIR")
    failures, count = [], 0
    try:
        for name, path, left, read in cuts(folder):
            if count == trials:
                break
            count += 1
            path.write_bytes(left)
            failures += [f"{name}: {said}" for said in told(read, str(path))]
    finally:
        os.environ.pop("LM_CACHE_DIR", None)
        os.environ.update({} if before is None else {"LM_CACHE_DIR": before})
    return Result(count, failures)


def told(read: Callable[[], object], wanted: str) -> list[str]:
    """Returns what is wrong with the way in which reading fails."""
    try:
        read()
    except UserError as error:
        text = str(error)
        return [] if wanted in text and "\n" not in text else [text]
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    return ["read as if it were whole"]


def corpora(trials: int, folder: Path) -> Result:
    """Reads hostile corpora: strictly to the stated defect, skipping to the stated rest."""
    chosen = list(CORPORA.items())[:trials]
    failures = []
    for name, corpus in chosen:
        path = folder / corpus.name
        path.write_bytes(corpus.content if isinstance(corpus.content, bytes) else corpus.content())
        try:
            failures += [f"{name}: {said}" for said in outcome(corpus, path)]
        except Exception as error:
            failures.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
    return Result(len(chosen), failures)


def outcome(corpus, path: Path) -> list[str]:
    """Returns how a corpus departs from its documented outcome."""
    found = told(lambda: list(corpus.reader(path)), str(path))
    strict = [] if found == ["read as if it were whole"] else ["refused"]
    if strict != ["refused"] * (corpus.says != FINE):
        return [f"strictly: {found or 'refused'}"]
    if corpus.says:
        try:
            list(corpus.reader(path))
        except UserError as error:
            if corpus.says not in str(error):
                return [f"strictly: {error}"]
    report = DefectReport("skip")
    try:
        kept = list(corpus.reader(path, report=report))
    except UserError:  # a damaged container is no line that could be skipped
        return [] if corpus.name.endswith(".gz") else ["skipping: refused"]
    if len(kept) != corpus.keeps or bool(report.counts) != bool(corpus.says):
        return [f"skipping kept {len(kept)}, {report}"]
    return [f"changed by the tokenizer: {line[:40]!r}" for line in kept if not survives(line)]


def survives(line: object) -> bool:
    """Tells whether bytes as tokens give the line back."""
    if not isinstance(line, str):
        return True
    vocabulary = byte_vocabulary()
    return vocabulary.decode(vocabulary.encode(line)) == line


BARS = [
    Bar(
        7,
        "cut data",
        "a data file or cache truncated anywhere is detected and named within the first epoch",
        truncated,
        short=60,
        long=60,
    ),
    Bar(
        16,
        "hostile corpora",
        "each has its documented outcome: read fully, an error by line, or skipped and counted",
        corpora,
        short=40,
        long=42,
    ),
]
