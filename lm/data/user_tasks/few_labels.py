"""A classification task with few labelled training examples."""

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import seqio

from lm.data.registry.answers import LABEL
from lm.data.storage import sources
from lm.data.storage.readers import Row
from lm.data.user_tasks import derived_tasks, user
from lm.errors import UserError
from lm.parts import value
from lm.ranges import PositiveInt, Seed


@value
def few_labels(*, name: str = "few_labels", task: str, per_label: PositiveInt, seed: Seed) -> str:
    """Registers a copy of a task with few training examples of each label; returns its name.

    They are chosen by a hash of seed and content. The other splits are unchanged.

    Args:
        name: name of the new task.
        task: name of a classification task, such as `imdb`.
        per_label: training examples of each label.
        seed: of the choice.

    Raises:
        UserError: the task has no labels, or too few examples of one.

    Example (gin):
        MIXTURE_OR_TASK_NAME = @few_labels.few_labels()
        few_labels.few_labels.task = 'imdb'
        few_labels.few_labels.per_label = 20
        few_labels.few_labels.seed = %RANDOM_SEED
    """
    found = derived_tasks.find(task)
    if user.is_new(name, ["few_labels", task, per_label, seed]):
        bind = functools.partial
        source = derived_tasks.with_train(
            found.source,
            bind(_chosen, found, per_label, seed),
            bind(_about, per_label, seed),
        )
        seqio.TaskRegistry.add_provider(name, found.replace(name=name, source=source))
    return name


def _chosen(task: seqio.Task, per_label: int, seed: int) -> Iterator[Row]:
    """Yields the chosen rows, label by label in the order of the labels' ids."""
    column = derived_tasks.columns(task)[LABEL]
    by_label: dict[str, list[Row]] = defaultdict(list)
    for row in derived_tasks.rows(task.source, "train"):
        by_label[str(row[column])].append(row)
    for label in task.output_features[LABEL].vocabulary.name_of:
        found = by_label[label]
        if len(found) < per_label:
            raise UserError(
                f"{task.name}: per_label = {per_label}, but label {label!r} has {len(found)} "
                "training examples"
            )
        yield from sorted(found, key=lambda row: sources.share(f"{seed} {row}"))[:per_label]


def _about(per_label: int, seed: int) -> Mapping[str, Any]:
    return {"per_label": per_label, "seed": seed}
