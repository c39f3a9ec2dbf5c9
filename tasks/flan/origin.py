"""The examples of a data set, from local files or TFDS: ordered, limited and truncated.

They are ordered by a hash, not by their order in the file. So neither the beginning of the file nor
alternating classes decide which 30,000 are kept or which template an example gets.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import seqio

from lm.data.registry import task_registry
from lm.data.storage import files, fingerprints, readers, sources
from lm.data.storage.plain import plain
from tasks.flan import readings
from tasks.flan.data_set import DataSet
from tasks.flan.readings.layout import Fields, Layout, Reading, Row
from tasks.flan.readings.passages import flat_rows
from tasks.flan.template import Example, field_names
from tasks.support import local_data

MOST_EXAMPLES = 30_000
HELD_OUT = 200
ALL = "all"  # train and the validation that is cut from it
MOST_CHARACTERS = 3_000  # of a field; `shortening` fits what is left into a row


class Rows(Protocol):
    """The rows of a data set in a source.

    Attributes:
        splits: names of the splits.
        layout: the meaning of the columns.
    """

    splits: tuple[str, ...]
    layout: Layout

    def read(self, split: str) -> Iterator[Row]:
        """Yields the rows of a split."""

    def require(self, split: str) -> None:
        """Checks that the data are on this machine; raises UserError if not."""

    def fingerprint(self) -> Mapping[str, Any]:
        """Returns everything that determines the rows."""


class LocalRows:
    """Rows of local files; `{}` in a file name stands for a language, which becomes a column."""

    def __init__(self, data_set: DataSet):
        self.data_set = data_set
        self.splits = tuple(data_set.local)
        columns = data_set.local_columns or data_set.columns or _fields(data_set)
        self.layout = Layout(columns, data_set.local_label, data_set.labels)

    def read(self, split: str) -> Iterator[Row]:
        """Yields the rows of a table, of JSON lines, or of one file per language."""
        paths = self._paths(split)
        if len(paths) > 1:
            return readers.read_parallel(paths)
        (path,) = paths.values()
        return (readers.read_jsonl if ".jsonl" in path else readers.read_tsv)(path)

    def require(self, split: str) -> None:
        """Checks that the files of a split exist."""
        self._paths(split)

    def fingerprint(self) -> Mapping[str, Any]:
        """Returns the contents of all files."""
        paths = [path for split in self.splits for path in self._paths(split).values()]
        return {"files": files.fingerprint(paths)}

    def _paths(self, split: str) -> dict[str, str]:
        """Returns the path of a split's file, or of each language's file."""
        name = self.data_set.local[split]
        folder, _, rest = name.partition("/")
        home = local_data.DataSet(folder, origin="its publisher")
        languages = tuple(self.layout.columns.values()) if "{}" in name else ("",)
        return {language: home.file(rest.format(language))() for language in languages}


class TfdsRows:
    """Rows of slices of a TFDS data set."""

    def __init__(self, data_set: DataSet):
        self.data_set = data_set
        self.splits = tuple(data_set.slices)
        self.source = seqio.TfdsDataSource(data_set.tfds, splits=dict(data_set.slices))
        columns = data_set.columns or _fields(data_set)
        self.layout = Layout(columns, data_set.label, data_set.labels)

    def read(self, split: str) -> Iterator[Row]:
        """Yields the rows of a slice."""
        dataset = self.source.get_dataset(split, shuffle=False)
        return (plain(row) for row in dataset.as_numpy_iterator())

    def require(self, split: str) -> None:
        """Checks that TFDS has prepared the data."""
        task_registry.require_tfds(self.data_set.name, self.source, split)

    def fingerprint(self) -> Mapping[str, Any]:
        """Returns name, version and slices."""
        return {"tfds": str(self.source.tfds_dataset), "slices": dict(self.data_set.slices)}


class Origin:
    """The examples of a data set: from local files if their folders exist, else from TFDS.

    If there is `train` but no `validation`, a tenth of train, at most 200 and at least one, becomes
    validation; examples with the same `DataSet.passage` stay on one side.

    Args:
        data_set: the data set.

    Attributes:
        data_set: the argument.
        rows: the source of the rows.
        splits: the available splits.
    """

    def __init__(self, data_set: DataSet):
        self.data_set = data_set
        self.rows: Rows = LocalRows(data_set) if _is_local(data_set) else TfdsRows(data_set)
        given = self.rows.splits
        self._cuts_train = "train" in given and "validation" not in given
        self.splits = (*given, "validation") if self._cuts_train else given

    @property
    def held_out(self) -> str:
        """The split that a model is asked which was not trained on the data set.

        It is `test`, else `validation`, but `all` where that would be a tenth of a small set.
        """
        published = [split for split in ("test", "validation") if split in self.rows.splits]
        return published[0] if published else ALL

    def examples(self, split: str) -> list[Example]:
        """Returns the examples of a split, ordered by hash; of `train` at most 30,000."""
        is_part = self._cuts_train and split in ("train", "validation")
        found = self._part(split) if is_part else self._ordered("train" if split == ALL else split)
        return found[:MOST_EXAMPLES] if split == "train" else found

    def require(self, split: str) -> None:
        """Checks that the data of a split are on this machine; raises UserError if not."""
        is_cut = self._cuts_train and split == "validation"
        self.rows.require("train" if is_cut or split == ALL else split)

    def fingerprint(self) -> Mapping[str, Any]:
        """Returns what determines the examples: the rows and the code that reads them."""
        reading = readings.find(self.data_set.read)
        code = fingerprints.describe([Origin, flat_rows, reading])
        return {"rows": self.rows.fingerprint(), "set": repr(self.data_set), "code": code}

    def _part(self, split: str) -> list[Example]:
        """Returns validation, the rows of train with the smallest hashes, or the others."""
        both = self._ordered("train")
        shares = [self._share(example) for example in both]
        number = min(HELD_OUT, max(len(both) // 10, 1))
        border = max(sorted(shares)[:number], default=0.0)
        is_wanted = [(share <= border) == (split == "validation") for share in shares]
        return list(itertools.compress(both, is_wanted))

    def _share(self, example: Example) -> float:
        """Returns a hash of the passage, or of the whole example."""
        passage = self.data_set.passage
        return sources.share(example.texts[passage] if passage else key(example))

    def _ordered(self, split: str) -> list[Example]:
        reading: Reading = readings.find(self.data_set.read)
        found = []
        for row in self.rows.read(split):
            for one in flat_rows(self.data_set.name, row):
                if (fields := reading(one, self.rows.layout)) is not None:
                    found.append(_example(fields, self.data_set.options))
        return sorted(found, key=_order)


def key(example: Example) -> str:
    """Returns the complete content of an example as one text."""
    return json.dumps(example, sort_keys=True, ensure_ascii=False)


def _order(example: Example) -> tuple[float, str]:
    text = key(example)
    return sources.share(text), text


def _example(fields: Fields, options: tuple[str, ...]) -> Example:
    """Returns an example with its answer as text."""
    options = fields.pop("options", options)
    if "label" in fields:
        fields["answer"] = options[int(fields.pop("label"))]
    references = tuple(fields.pop("references", (fields["answer"],)))
    texts = {name: str(value) for name, value in fields.items()}
    answer = {"answer": texts["answer"]}
    return Example({name: cut(text) for name, text in texts.items()} | answer, options, references)


def cut(text: str, most: int = MOST_CHARACTERS) -> str:
    """Returns a text truncated to a number of characters, between words.

    Example:
        >>> cut("one two three", 9), cut("one", 9)
        ('one two …', 'one')
    """
    return text if len(text) <= most else text[: most - 1].rpartition(" ")[0] + " …"


def _is_local(data_set: DataSet) -> bool:
    """Returns whether the folders of a data set exist, or it has no other source."""
    folders = {name.partition("/")[0] for name in data_set.local.values()}
    held = all((files.data_dir() / folder).is_dir() for folder in folders)
    return bool(folders) and (held or not data_set.tfds)


def _fields(data_set: DataSet) -> dict[str, str]:
    """Returns the fields that the templates use, as columns of the same names."""
    patterns = [pattern for template in data_set.templates for pattern in template]
    names = [name for pattern in patterns for name in field_names(pattern)]
    return {name: name for name in dict.fromkeys(names) if name != "answer"}
