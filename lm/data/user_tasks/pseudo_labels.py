"""A classification task with pseudo-labels: a model's predictions as training examples."""

import functools
import heapq
from collections.abc import Iterator, Mapping
from typing import Any

import seqio

from lm.data.registry.answers import LABEL
from lm.data.storage import files, readers
from lm.data.storage.readers import Row
from lm.data.user_tasks import derived_tasks, user
from lm.errors import UserError
from lm.parts import value
from lm.ranges import NonNegativeFloat


@value
def pseudo_labels(
    *,
    name: str = "pseudo_labels",
    task: str,
    predictions: str | None,
    share: NonNegativeFloat = 1.0,
) -> str:
    """Registers a copy of a task with added pseudo-labelled training examples; returns its name.

    The other splits are unchanged.

    Args:
        name: name of the new task.
        task: name of a classification task.
        predictions: file that `lm predict --json` wrote; None adds nothing.
        share: fraction of the predictions to train on, most probable first; 1 takes even the most
            uncertain (paper: 1, "broad distribution").

    Raises:
        UserError: the task has no labels, or a line of the file has no text or an unknown label.

    Source: Vu et al. 2021 (https://arxiv.org/abs/2109.06270), section 2.2.
    """
    found = derived_tasks.find(task)
    if user.is_new(name, ["pseudo_labels", task, predictions, share]):
        source = found.source
        if predictions is not None:
            bind = functools.partial
            source = derived_tasks.with_train(
                source, bind(_both, found, predictions, share), bind(_about, predictions, share)
            )
        seqio.TaskRegistry.add_provider(name, found.replace(name=name, source=source))
    return name


def _both(task: seqio.Task, predictions: str, share: float) -> Iterator[Row]:
    """Yields the labelled rows, then the predicted ones."""
    columns = derived_tasks.columns(task).values()
    for row in derived_tasks.rows(task.source, "train"):
        yield {column: str(row[column]) for column in columns}
    yield from _most_probable(list(_predicted(task, predictions)), share)


def _predicted(task: seqio.Task, predictions: str) -> Iterator[tuple[float, Row]]:
    """Yields the probability of the label and the row, for each line of the file."""
    columns = dict(derived_tasks.columns(task))
    label = columns.pop(LABEL)
    written = {name: text for text, name in task.output_features[LABEL].vocabulary.name_of.items()}
    for number, line in enumerate(readers.read_jsonl(predictions), 1):
        answer, probabilities = line.get("answer"), line.get("probabilities") or {}
        missing = [column for column in columns.values() if not isinstance(line.get(column), str)]
        if missing or answer not in written or answer not in probabilities:
            what = (
                f"no text {missing[0]!r}" if missing else f"{answer!r} is no label of {task.name}"
            )
            raise UserError(f"{predictions}:{number}: {what}; write it with `lm predict --json`")
        texts = {column: line[column] for column in columns.values()}
        yield probabilities[answer], {**texts, label: written[answer]}


def _most_probable(found: list[tuple[float, Row]], share: float) -> Iterator[Row]:
    """Yields the rows of a fraction of the predictions, in the order of the file."""
    count = round(share * len(found))
    best = heapq.nlargest(count, range(len(found)), key=lambda i: (found[i][0], -i))
    return (found[i][1] for i in sorted(best))


def _about(predictions: str, share: float) -> Mapping[str, Any]:
    return {"predictions": files.fingerprint(files.expand(predictions)), "share": share}
