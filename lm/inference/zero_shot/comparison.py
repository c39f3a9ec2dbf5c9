"""Comparison of two evaluated runs, refused if their results are not comparable."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lm.data.evaluation.estimates import Difference, paired_test
from lm.data.storage import readers
from lm.errors import UserError
from lm.inference.zero_shot.judge import UNPAIRED
from lm.inference.zero_shot.suite import FOLDER, RESULTS

EXPECTED = ("checkpoint",)  # differs between any two runs
ASKED = ("data", "questions")  # the questions themselves and how many of them


class Compared(NamedTuple):
    """A metric of a question set for both runs.

    Attributes:
        task: name of the question set.
        metric: name of the metric.
        a, b: value, standard error, low and high, by name.
        difference: b − a over the same questions; None if the questions differ, the metric is no
            mean over questions, or samples are missing.
        lacks_samples: whether there would be a difference if both runs had saved samples.
    """

    task: str
    metric: str
    a: Mapping[str, float]
    b: Mapping[str, float]
    difference: Difference | None
    lacks_samples: bool


def compare(a: str | Path, b: str | Path, *, allow: Sequence[str] = ()) -> list[Compared]:
    """Returns the metrics of the question sets on which both runs were evaluated.

    Args:
        a: a run folder or a file of results; the latest result on each set counts.
        b: the other one.
        allow: parts of the signatures that may differ, in addition to the checkpoint.

    Raises:
        UserError: the signatures differ, or the runs have no question set in common.
    """
    first, second = read(a), read(b)
    common = [task for task in first if task in second]
    if not common:
        raise UserError(f"{a} and {b} have no question set in common")
    for task in common:
        refuse_unlike(first[task], second[task], allow)
    return [one for task in common for one in rows(first[task], second[task])]


def read(source: str | Path) -> dict[str, dict[str, Any]]:
    """Returns the latest result of a run on each question set.

    Raises:
        UserError: there are no results.
    """
    path = Path(source)
    file = path / FOLDER / RESULTS if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{file}: no results; `lm eval --workdir={source} --suite=NAME` makes them")
    newest = {row["task"]: row for row in readers.read_jsonl(str(file))}
    return {
        task: {**row, "signature": complete(row["signature"]), "folder": file.parent}
        for task, row in newest.items()
    }


def complete(signature: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a signature with what older results leave out.

    Example:
        >>> complete({"checkpoint": ["a", "b"]})
        {'models': 2, 'weights': 'float32', 'checkpoint': ['a', 'b']}
    """
    checkpoint = signature.get("checkpoint")
    models = len(checkpoint) if isinstance(checkpoint, list) else 1
    return {"models": models, "weights": "float32"} | dict(signature)


def refuse_unlike(a: Mapping[str, Any], b: Mapping[str, Any], allow: Sequence[str] = ()) -> None:
    """Refuses two results that are not comparable.

    Raises:
        UserError: the signatures differ; the message gives both values.
    """
    one, other = a["signature"], b["signature"]
    names = [name for name in one | other if name not in (*EXPECTED, *allow)]
    unlike = [name for name in names if one.get(name) != other.get(name)]
    if unlike:
        values = "; ".join(
            f"{name} {_short(one.get(name))} and {_short(other.get(name))}" for name in unlike
        )
        raise UserError(
            f"{a['task']}: the two results are not alike: {values}. Evaluate both alike, or give "
            f"--allow={','.join(unlike)} if that may differ"
        )


def rows(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Compared]:
    """Returns the metrics that two results on a question set have in common."""
    is_paired = all(a["signature"].get(name) == b["signature"].get(name) for name in ASKED)
    first, second = (values(one) if is_paired else {} for one in (a, b))
    found = []
    for name in a["metrics"]:
        if name in b["metrics"]:
            both = name in first and name in second
            difference = paired_test(first[name], second[name]) if both else None
            lacks_samples = is_paired and not both and name not in UNPAIRED
            pair = a["metrics"][name], b["metrics"][name]
            found.append(Compared(a["task"], name, *pair, difference, lacks_samples))
    return found


def values(result: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the values of single questions by metric; empty without samples."""
    if not result["samples"]:
        return {}
    samples = list(readers.read_jsonl(str(result["folder"] / result["samples"])))
    names = samples[0]["values"]
    return {name: np.array([sample["values"][name] for sample in samples]) for name in names}


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:60]
