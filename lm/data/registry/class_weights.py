"""Class weights for imbalanced data."""

import numpy as np

from lm.data.registry import task_registry
from lm.data.registry.answers import LABEL, label_names
from lm.data.storage import token_store
from lm.errors import UserError
from lm.parts import value


@value
def balanced(*, task: str, split: str = "train") -> list[float]:
    """Returns n / (K · n_k) for each label k of K: every class has the same total weight.

    Args:
        task: name of the task, such as `%MIXTURE_OR_TASK_NAME`.
        split: the split whose n examples are counted.

    Raises:
        UserError: the task has no labels or no such split, or a label has no example in it.

    Example (gin):
        labels.Labels.class_weights = @class_weights.balanced()
        class_weights.balanced.task = %MIXTURE_OR_TASK_NAME
    """
    task_registry.find(task)
    found = task_registry.provider(task, split)
    names = label_names(found)
    counts = np.zeros(len(names), int)
    for part in task_registry.tasks(found, split):
        examples = token_store.examples(part, split).map(lambda example: example[LABEL])
        counts += np.bincount(list(examples.as_numpy_iterator()), minlength=len(names))
    if missing := [name for name, count in zip(names, counts, strict=True) if not count]:
        raise UserError(f"{task}: no example of label {missing[0]!r} in split {split!r}")
    return (counts.sum() / (len(names) * counts)).tolist()
