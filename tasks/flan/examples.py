"""The examples of a data set: rows of its source, capped, ordered by content, written as prompts.

Everything is decided by the rows and by hashes of them: the same files give the same examples on
every machine.
"""

import json
import random
import string
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import seqio

from lm.data import files, fingerprints, readers, sources, task_registry
from lm.data.record_cache import Example as Record
from tasks.flan import readings
from tasks.flan.data_set import DataSet
from tasks.flan.names import BARE, NAMED, Prompt
from tasks.flan.template import Example, Template, render
from tasks.support.local_data import DataSet as Folder

MOST_EXAMPLES = 30_000
HELD_OUT = 200
# No tokenizer makes so few tokens of a text that more of it fits the budget of `few_shot`.
MOST_CHARACTERS = 6 * 960

Load = Callable[[str], Iterator[readings.Row]]


class Origin:
    """Where the rows of a data set come from: local files where they lie there, else TFDS.

    Args:
        data_set: the data set.

    Attributes:
        files: split -> the file, as it is written in the data set's description.
        source: the TFDS source; None for local files.
        splits: the splits there are.
    """

    def __init__(self, data_set: DataSet):
        self.data_set = data_set
        is_local = bool(data_set.local) and (not data_set.tfds or _is_held(data_set.local))
        self.files = data_set.local if is_local else {}
        self.source = None if is_local else _tfds_source(data_set)
        given = tuple(self.files or data_set.slices)
        self.cut = "train" in given and "validation" not in given
        self.splits = (*given, "validation") if self.cut else given

    def examples(self, split: str) -> list[Example]:
        """Returns the examples of a split in the order of a hash of their contents."""
        origin = "train" if self.cut and split == "validation" else split
        found = sorted(self._read(origin), key=_order)[:MOST_EXAMPLES]
        if not self.cut or origin == "test":
            return found
        held_out = min(HELD_OUT, len(found) // 10)
        return found[:held_out] if split == "validation" else found[held_out:]

    def require(self, split: str) -> None:
        """Checks that the data are on this machine; raises UserError if not."""
        if self.source is not None:
            task_registry.require_tfds(self.data_set.name, self.source, split)
        for name in self.files.values():
            self._paths(name)

    def fingerprint(self) -> Mapping[str, Any]:
        """Returns what decides the rows."""
        if self.source is not None:
            return {"tfds": str(self.source.tfds_dataset), "slices": dict(self.data_set.slices)}
        paths = [path for name in self.files.values() for path in self._paths(name).values()]
        return {"files": files.fingerprint(paths)}

    def _read(self, split: str) -> Iterator[Example]:
        rows = self._local_rows(split) if self.source is None else self._tfds_rows(split)
        for row in rows:
            for one in readings.flat_rows(self.data_set.name, row):
                if (example := self._example(one)) is not None:
                    yield example

    def _example(self, row: readings.Row) -> Example | None:
        data_set = self.data_set
        is_local = self.source is None
        layout = readings.Layout(
            columns=(is_local and data_set.local_columns) or data_set.columns or _same(data_set),
            label=data_set.local_label if is_local else data_set.label,
            labels=data_set.labels,
        )
        reading: readings.Reading = getattr(readings, data_set.read)
        fields = reading(row, layout)
        return None if fields is None else _completed(fields, data_set.options)

    def _local_rows(self, split: str) -> Iterator[readings.Row]:
        paths = self._paths(self.files[split])
        if len(paths) > 1:
            return readers.read_parallel(paths)
        (path,) = paths.values()
        read = readers.read_jsonl if ".jsonl" in path else readers.read_tsv
        return read(path)

    def _tfds_rows(self, split: str) -> Iterator[readings.Row]:
        assert self.source is not None
        dataset = self.source.get_dataset(split, shuffle=False)
        return (_plain(row) for row in dataset.as_numpy_iterator())

    def _paths(self, name: str) -> dict[str, str]:
        """Returns the path of a file, or of the file of each language."""
        languages = tuple(self.data_set.columns.values()) if "{}" in name else ("",)
        folder, _, rest = name.partition("/")
        home = Folder(folder, origin="the source that its README names")
        return {language: home.file(rest.format(language))() for language in languages}


def records(data_set: DataSet, prompt: Prompt, origin: Origin, split: str) -> Iterator[Record]:
    """Yields the records of a split: what a prompt makes of its examples.

    A record has `inputs`, `targets`, the index of its `template`, the `references`, and for a
    few-shot prompt the inputs and targets of its exemplars. For ranking, each possible answer makes
    a record with the number of its `example`, of the `choice`, and whether it `is_correct`.
    """
    examples = origin.examples(split)
    pool = _pool(examples, origin, split) if prompt.shots else []
    turns = prompt.indices(data_set)
    for number, example in enumerate(examples):
        index = turns[number % len(turns)]
        write = partial(written, data_set, prompt, index)
        shots = _exemplars(pool, example, prompt.shots, write)
        inputs, targets = write(example)
        shared = {"inputs": inputs, "template": index, "references": list(example.references)}
        shared |= shots
        if not prompt.rank:
            yield {**shared, "targets": targets}
            continue
        for choice, option in enumerate(example.options):
            correct = int(option in example.references)
            ids = {"example": number, "choice": choice, "is_correct": correct}
            yield {**shared, **ids, "targets": option}


def written(data_set: DataSet, prompt: Prompt, index: int, example: Example) -> tuple[str, str]:
    """Returns the input and the target of an example in the form of a prompt."""
    if prompt.form in (BARE, NAMED):
        fields = [f"{{{name}}}" for name in example.texts if name != "answer"]
        name = f"[{data_set.name}] " if prompt.form == NAMED else ""
        template = Template(name + (data_set.bare or "\n".join(fields)))
        return render(template, example, options=False)
    return render(data_set.templates[index], example, options=prompt.form == "opt")


def source(data_set: DataSet, prompt: Prompt) -> sources.CachedSource:
    """Returns the SeqIO source of a data set in the form of a prompt."""
    origin = Origin(data_set)
    return sources.examples_source(
        f"flan_{data_set.name}",
        {split: partial(records, data_set, prompt, origin, split) for split in origin.splits},
        fingerprint=partial(_fingerprint, data_set, prompt, origin),
        require=origin.require,
    )


def _fingerprint(data_set: DataSet, prompt: Prompt, origin: Origin) -> Mapping[str, Any]:
    code = fingerprints.describe([records, render, getattr(readings, data_set.read)])
    return {"from": origin.fingerprint(), "set": repr(data_set), "as": repr(prompt), "code": code}


def _pool(examples: list[Example], origin: Origin, split: str) -> list[Example]:
    """Returns what exemplars are drawn from: the training examples, else the split's own."""
    is_own = split == "train" or "train" not in origin.splits
    return examples if is_own else origin.examples("train")


def _exemplars(
    pool: list[Example],
    query: Example,
    shots: int,
    write: Callable[[Example], tuple[str, str]],
) -> dict[str, list[str]]:
    """Returns the inputs and targets of exemplars drawn by a hash of the query, never the query."""
    if not shots:
        return {}
    drawn = random.Random(_key(query)).sample(pool, min(shots + 1, len(pool)))
    pairs = [write(example) for example in drawn if example.texts != query.texts][:shots]
    fitting, size = [], 0
    for pair in pairs:
        size += sum(map(len, pair))
        if size <= MOST_CHARACTERS:
            fitting.append(pair)
    return {
        "exemplar_inputs": [inputs for inputs, _ in fitting],
        "exemplar_targets": [targets for _, targets in fitting],
    }


def _completed(fields: readings.Fields, options: tuple[str, ...]) -> Example:
    """Returns the example with its answer in words."""
    options = fields.pop("options", options)
    if "label" in fields:
        fields["answer"] = options[int(fields.pop("label"))]
    references = tuple(fields.pop("references", (fields["answer"],)))
    return Example({name: str(value) for name, value in fields.items()}, options, references)


def _key(example: Example) -> str:
    return json.dumps(example, sort_keys=True, ensure_ascii=False)


def _order(example: Example) -> tuple[float, str]:
    key = _key(example)
    return sources.share(key), key


def _is_held(local: Mapping[str, str]) -> bool:
    """Tells whether the folder of a data set lies in the folder of local data."""
    (folder, *_) = next(iter(local.values())).split("/")
    return Path(files.data_dir() / folder).is_dir()


def _tfds_source(data_set: DataSet) -> seqio.TfdsDataSource:
    return seqio.TfdsDataSource(data_set.tfds, splits=dict(data_set.slices))


def _same(data_set: DataSet) -> dict[str, str]:
    """Returns columns under their own names: those that the templates ask for."""
    patterns = [pattern for template in data_set.templates for pattern in template]
    names = [name for pattern in patterns for _, name, _, _ in string.Formatter().parse(pattern)]
    return {name: name for name in dict.fromkeys(names) if name and name != "answer"}


def _plain(value: Any) -> Any:
    """Returns TFDS's bytes as text, arrays as lists, numbers as Python's."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return _plain_array(value) if hasattr(value, "tolist") else value


def _plain_array(array: Any) -> Any:
    items = array.tolist()
    return [_plain(item) for item in items] if isinstance(items, list) else _plain(items)
