"""Evaluation of a model that labels while it is trained: loss, and the metrics of each task."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from lm.engines import Engine
from lm.parts import part
from lm.ranges import PositiveInt
from lm.train.evaluation import TaskMetrics, added, means


@part
class LabelEvaluation:
    """The objective's means and the metrics of the tasks of a mixture, such as F1 and Matthews.

    A task's metric takes the place of the objective's of the same name: its accuracy is per cent.
    The mean of the task's metrics, as in GLUE, decides which checkpoint is the best.

    Args:
        mixture_or_task_name: a task, or a mixture whose tasks with this split are evaluated.
        lengths: TASK_FEATURE_LENGTHS.
        converter: factory of the feature converter, one of labelled examples.
        batch_size: rows of a batch; changes nothing but speed.
        vocabulary: replaces that of the tasks' texts, if given.
        split: name of the split.
        steps: number of batches; the whole split by default.
    """

    def __init__(
        self,
        *,
        mixture_or_task_name: str,
        lengths: Mapping[str, PositiveInt],
        converter: Callable[[], Any],
        batch_size: PositiveInt,
        vocabulary: Any = None,
        split: str = "validation",
        steps: PositiveInt | None = None,
    ) -> None:
        from lm.data.evaluation_batches import evaluation_batches, task_names
        from lm.data.evaluation_task import EvaluationTask
        from lm.data.labelled_task import LabelledTask

        self.split = split
        self.steps = steps
        limit = None if steps is None else steps * batch_size
        shared = {"lengths": lengths, "vocabulary": vocabulary, "limit": limit}
        self.tasks = {
            name: (
                LabelledTask(EvaluationTask(name, split, **shared), converter()),
                evaluation_batches(
                    mixture_or_task_name=name,
                    split=split,
                    converter=converter,
                    batch_size=batch_size,
                    **shared,
                ),
            )
            for name in task_names(mixture_or_task_name, split)
        }

    def __call__(self, engine: Engine) -> Iterator[TaskMetrics]:
        """Yield the metrics of each task with the engine's weights."""
        for name, (task, batches) in self.tasks.items():
            found = list(engine.predictions(islice(batches, self.steps)))
            values = means(added(terms for terms, _ in found))
            predictions = task.predictions(outputs for _, outputs in found)
            own = task.metrics(predictions)
            score = statistics.fmean(own.values()) if own else None
            yield TaskMetrics(name, self.split, values | own, score)
