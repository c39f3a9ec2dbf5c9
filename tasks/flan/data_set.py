"""The data sets as described in `sets/*.toml`: their sources, columns and templates.

tfds, slices          the TFDS name, and its slice for each of our splits or one of SLICES
local                 the file of each split below the folder of data sets; `{}` is a language
columns               our name of a field -> the source's; local_columns where files differ
label, local_label    the column of the class ("label" by default)
labels                what local files write for each class, if not its number
options               the names of the classes, in the order of their numbers
read                  a function of `readings` for what is not columns alone
metric                a name of `register.METRICS` or `CLASS_METRICS`; "accuracy" by default
templates             ten; `like` takes another set's options, labels, templates and metric
passage               the field whose examples stay together where validation is cut from train
bare                  the input without an instruction, if not all fields
"""

import functools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.flan.template import ANSWER, Template

FOLDER = Path(__file__).parent / "sets"
SLICES = {
    "S30": {"train": "train[:30000]", "validation": "validation[:200]", "test": "test"},
    "T200": {"train": "train[:-200]", "validation": "train[-200:]", "test": "validation"},
    "T30v": {"train": "train[:30000]", "validation": "train[-200:]", "test": "validation"},
}
SHARED = ("options", "labels", "templates", "metric", "bare")


@dataclass(frozen=True)
class DataSet:
    """One data set; the fields are explained above."""

    name: str
    templates: tuple[Template, ...] = ()
    tfds: str = ""
    slices: Mapping[str, str] = field(default_factory=dict)
    local: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    local_columns: Mapping[str, str] = field(default_factory=dict)
    label: str = "label"
    local_label: str = "label"
    labels: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    read: str = "columns"
    metric: str = "accuracy"
    passage: str = ""
    bare: str = ""

    def asking(self) -> tuple[int, ...]:
        """Returns the indices of the templates that ask for the answer."""
        return tuple(
            index for index, template in enumerate(self.templates) if not template.is_turned_around
        )


@functools.cache
def data_sets() -> Mapping[str, DataSet]:
    """Returns all data sets by name."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(FOLDER.glob("*.toml")):
        found |= tomllib.loads(path.read_text("utf-8"))
    return {name: _data_set(name, values, found) for name, values in found.items()}


def _data_set(
    name: str, values: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]
) -> DataSet:
    model = known.get(values.get("like", ""), {})
    given: dict[str, Any] = {key: model[key] for key in SHARED if key in model} | dict(values)
    given.pop("like", None)
    if isinstance(slices := given.get("slices"), str):
        given["slices"] = SLICES[slices]
    given["templates"] = [_template(written) for written in given["templates"]]
    frozen: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in given.items()
    }
    return DataSet(name, **frozen)


def _template(written: str | list[str]) -> Template:
    return Template(*([written] if isinstance(written, str) else written))


def template_rows() -> Iterator[dict[str, str]]:
    """Yields a row for every template of every data set."""
    for name, data_set in data_sets().items():
        for number, template in enumerate(data_set.templates):
            yield {
                "data set": name,
                "template": str(number),
                "inputs": template.inputs,
                "targets": template.targets,
                "options": "" if template.targets != ANSWER else ", ".join(data_set.options),
            }
