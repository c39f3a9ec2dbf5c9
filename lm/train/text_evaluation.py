"""Evaluation of the texts that a model generates while it is trained: BLEU and other metrics."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lm.engines import Engine
from lm.errors import ConfigError
from lm.inference.evaluate import prompts
from lm.inference.generate import Generated, generate
from lm.inference.trained import Trained
from lm.parts import part
from lm.ranges import PositiveInt
from lm.train.evaluation import TaskMetrics


@part
class TextEvaluation:
    """The tasks' own metrics of generated texts, with the weights of the step.

    As the first of `train.train.evaluations` it decides which checkpoint is the best, and whether
    patience is over.

    Args:
        mixture_or_task_name: a task, or a mixture whose tasks with this split are evaluated.
        lengths: TASK_FEATURE_LENGTHS.
        converter: factory of the feature converter of the training.
        vocabulary: replaces that of the tasks, if given.
        split: name of the split.
        limit: number of examples; all by default.
        metrics: metric functions in place of the tasks' own, such as `[@metrics.bleu]`.
        decisive: the metric whose highest value is the best; the first one by default.
        generate: `generate.generate`, whose settings gin binds.

    Raises:
        ConfigError: a task has no metric of texts, or not the decisive one.
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings of an evaluation
        self,
        *,
        mixture_or_task_name: str,
        lengths: Mapping[str, PositiveInt],
        converter: Callable[..., Any],
        vocabulary: Any = None,
        split: str = "validation",
        limit: PositiveInt | None = None,
        metrics: Sequence[Callable[..., Any]] | None = None,
        decisive: str | None = None,
        generate: Callable[..., Generated] = generate,
    ) -> None:
        from lm.data.batching.evaluation_batches import task_names
        from lm.data.evaluation.evaluation_task import EvaluationTask

        shared = {"lengths": lengths, "vocabulary": vocabulary}
        self.tasks = [
            EvaluationTask(name, split, limit=limit, metrics=metrics, **shared)
            for name in task_names(mixture_or_task_name, split)
        ]
        for task in self.tasks:
            if not task.needs_predictions:
                raise ConfigError(
                    f"{task.name} has no metric of texts: bind TextEvaluation.metrics, such as "
                    "[@metrics.bleu]"
                )
        self.decisive = decisive
        self.generate = generate
        self._settings = {"converter": converter, **shared}
        self._trained: dict[str, Trained] = {}

    def __call__(self, engine: Engine) -> Iterator[TaskMetrics]:
        """Yield the metrics of each task."""
        engine.pull()
        for task in self.tasks:
            trained = self._made(task, engine.program.objective)
            generated = self.generate(trained=trained, prompts=prompts(trained, task))
            texts = [found[0].text if found else "" for found in generated.candidates]
            found = task.of_predictions(texts)
            values = {name: value for name, value in found.items() if isinstance(value, float)}
            yield TaskMetrics(task.name, task.split, values, self._score(task.name, values))

    def _made(self, task: Any, objective: Any) -> Trained:
        """Return the model as the task reads it, the same at every call: it keeps what compiles."""
        if task.name not in self._trained:
            features = task.task.output_features
            self._trained[task.name] = Trained(
                objective=objective, features=features, task=task.name, **self._settings
            )
        return self._trained[task.name]

    def _score(self, task: str, values: Mapping[str, float]) -> float:
        """Return the value that decides."""
        name = self.decisive or next(iter(values))
        if name not in values:
            raise ConfigError(
                f"TextEvaluation.decisive = {name!r}: the metrics of {task} are {', '.join(values)}"
            )
        return values[name]
