"""Converts epochs to steps."""

import math

from lm.data.registry import task_registry
from lm.errors import UserError
from lm.parts import value
from lm.ranges import NonNegativeFloat, PositiveInt


@value
def steps(
    *, task: str, epochs: NonNegativeFloat, batch_size: PositiveInt, split: str = "train"
) -> int:
    """Returns ceil(epochs · n / batch_size), 1 or more, for the n examples of a split.

    This is the number of batches of these epochs with one example per row, not with packing.

    Args:
        task: name of the task or mixture, such as `%MIXTURE_OR_TASK_NAME`.
        epochs: passes over the split; 0.3 of a pass for a warm-up over a tenth of three.
        batch_size: rows of a batch.
        split: name of the split.

    Raises:
        UserError: the number of examples is unknown.

    Example (gin):
        TRAIN_STEPS = @epochs.steps()
        epochs.steps.task = %MIXTURE_OR_TASK_NAME
        epochs.steps.epochs = 3
        epochs.steps.batch_size = %BATCH_SIZE
    """
    task_registry.find(task)
    found = task_registry.provider(task, split)
    counts = [part.num_input_examples(split) for part in task_registry.tasks(found, split)]
    if None in counts:
        raise UserError(f"{task} does not know its number of examples; set TRAIN_STEPS")
    return max(1, math.ceil(epochs * sum(counts) / batch_size))
