"""The sentences for training a tokenizer: read, checked, counted, sampled."""

import collections
import dataclasses
import os
import random
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from lm.data.registry import task_registry
from lm.data.storage import readers
from lm.data.storage.lines import DefectReport
from lm.data.tokenizer_options import TrainerOptions
from lm.errors import UserError
from lm.parts import value

# Peak of SentencePiece's trainer per byte of text, rounded up from measurements on 2 MB, plus the
# sentences that we hold. Larger texts need less, for words repeat.
BYTES_PER_BYTE = {"unigram": 25, "bpe": 12, "wordpiece": 12, "char": 4, "word": 7}
RESERVED = "\u2585"  # SentencePiece writes an unknown this way and drops sentences that hold it
_CHECK_EVERY = 4096


@value
@dataclasses.dataclass(frozen=True, kw_only=True)
class TextFiles:
    """The paragraphs of UTF-8 text files.

    Args:
        input: paths or globs, separated by commas.
        on_error: "raise" at the first defect of a file, or "skip" the line.
    """

    input: str
    on_error: str = "raise"

    def __iter__(self) -> Iterator[str]:
        """Yields the paragraphs in the order of the files; warns of lines left out."""
        paths = [path for path in self.input.split(",") if path]
        report = DefectReport(self.on_error)
        yield from readers.read_paragraphs(paths, report=report)
        if report.counts:
            warnings.warn(report.losses(), stacklevel=2)


@value
@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskText:
    """The raw texts of a registered task or mixture, before its preprocessors.

    Args:
        mixture_or_task_name: the name in SeqIO's registry; of a mixture all tasks are read.
        mixture_or_task_module: module that registers it, such as "tasks.python_docs"; "" for t5's.
        split: the split to read.
        features: names of the text features; empty for all that hold text.
    """

    mixture_or_task_name: str
    mixture_or_task_module: str = ""
    split: str = "train"
    features: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[str]:
        """Yields the texts in the order of the source.

        Raises:
            UserError: if an example has no text of a name in `features`.
        """
        provider = task_registry.get(self.mixture_or_task_name)
        for task in getattr(provider, "tasks", [provider]):
            examples = task.source.get_dataset(split=self.split, shuffle=False)
            for example in examples.as_numpy_iterator():
                yield from self._texts(example)

    def _texts(self, example: dict) -> Iterator[str]:
        texts = {name: value for name, value in example.items() if isinstance(value, bytes)}
        for name in self.features or texts:
            if name not in texts:
                raise UserError(
                    f"features: {self.mixture_or_task_name} has no text {name!r} before its "
                    f"preprocessors, but {', '.join(texts)}"
                )
            yield texts[name].decode("utf-8", "replace")


Counts = collections.Counter[str]


def usable(texts: Iterable[str], max_length: int, counts: Counts) -> Iterator[str]:
    r"""Yields the lines that SentencePiece can train on, counting the others by their reason.

    Example:
        >>> counts = Counts()
        >>> list(usable(["a b\n\nlong line", "nul\0"], 8, counts)), dict(counts)
        (['a b'], {'empty': 1, 'too_long': 1, 'nul': 1})
    """
    for text in texts:
        for line in text.split("\n"):
            reason = _reason(line, max_length)
            if reason:
                counts[reason] += 1
            else:
                yield line


def _reason(line: str, max_length: int) -> str:
    """Returns why SentencePiece would drop a line, "" if it would not."""
    reasons = {
        "empty": not line.strip(),
        "nul": "\0" in line,
        "reserved": RESERVED in line,
        "too_long": len(line.encode()) > max_length,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def select(sentences: Iterable[str], options: TrainerOptions, counts: Counts) -> list[str]:
    """Returns all sentences, or a uniform sample of `input_sentence_size`, in their order.

    Warns when the training will probably run out of memory. The sample depends only on the seed
    (reservoir sampling, Vitter's algorithm R).

    Args:
        sentences: sentences to choose from.
        options: the number of sentences, their choice, and the kind of model.
        counts: receives `seen` and `used`.
    """
    size = options.input_sentence_size
    draw = random.Random(options.random_seed).random
    held: list[tuple[int, str]] = []
    watch = MemoryWatch(options.model_type)
    for rank, sentence in enumerate(sentences):
        counts["seen"] += 1
        if not size or len(held) < size:
            held.append((rank, sentence))
            watch.add(sentence)
        elif not options.shuffle_input_sentence:
            continue
        elif (index := int(draw() * (rank + 1))) < size:
            held[index] = (rank, sentence)
    counts["used"] = len(held)
    return [sentence for _, sentence in sorted(held)]


class MemoryWatch:
    """Warns once when training on the sentences so far would exceed the free memory.

    Args:
        model_type: kind of model to be trained.
    """

    def __init__(self, model_type: str):
        self._factor = BYTES_PER_BYTE[model_type]
        self._sentences = 0
        self._bytes = 0
        self._is_quiet = False

    def add(self, sentence: str) -> None:
        """Counts one more sentence."""
        self._sentences += 1
        self._bytes += len(sentence)
        if self._sentences % _CHECK_EVERY == 0 and not self._is_quiet:
            self._check()

    def _check(self) -> None:
        memory = available_memory()
        needed = self._bytes * self._factor
        if needed > memory:
            self._is_quiet = True
            fitting = int(self._sentences * memory / needed / 2)
            warnings.warn(
                f"training on more than {self._sentences:,} sentences is likely to need over "
                f"{needed / 2**30:.1f} GiB and {memory / 2**30:.1f} GiB are free: "
                f"set input_sentence_size={fitting} to train on a sample",
                stacklevel=2,
            )


def available_memory() -> float:
    """Bytes of memory available to this process; infinite if unknown."""
    limits = [float("inf")]
    meminfo, group = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        limits.append(float(lines["MemAvailable"].split()[0]) * 1024)
    elif hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        limits.append(float(os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE"))
    if group.is_file() and (text := group.read_text().strip()).isdigit():
        limits.append(float(text))
    return min(limits)
