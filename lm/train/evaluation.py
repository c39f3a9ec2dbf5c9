"""Evaluation while training: exact sums over a whole split, metrics of labels and of texts."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from lm.engines import Engine
from lm.engines.program import Ratios
from lm.errors import ConfigError
from lm.inference.generate import Generated, generate
from lm.inference.trained import Trained
from lm.likelihood import bits, perplexity
from lm.objectives.objective import predicts_every_token
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Batch


class TaskMetrics(NamedTuple):
    """The metrics of one task.

    Attributes:
        task: its name.
        split: the split.
        values: the metrics by name.
        score: mean of the task's own metrics, highest at the best checkpoint; None if the loss
            decides which is the best.
    """

    task: str
    split: str
    values: dict[str, float]
    score: float | None = None


@part
class Evaluation:
    """Loss, perplexity, accuracy and bits per byte of the tasks of a mixture.

    Args:
        mixture_or_task_name: a task, or a mixture whose tasks with this split are evaluated.
        data: factory of one pass over a task, called with `mixture_or_task_name` and `split`.
        split: name of the split.
        steps: number of batches; the whole split by default. Bits per byte are reported only for a
            whole split, an objective that predicts every token, and targets that fit their rows.
    """

    def __init__(
        self,
        *,
        mixture_or_task_name: str,
        data: Callable[..., Any],
        split: str = "validation",
        steps: PositiveInt | None = None,
    ) -> None:
        self.split = split
        self.steps = steps
        from lm.data.batching.evaluation_batches import task_names

        names = task_names(mixture_or_task_name, split)
        self.batches = {n: data(mixture_or_task_name=n, split=split) for n in names}

    def __call__(self, engine: Engine) -> Iterator[TaskMetrics]:
        """Yields the metrics of each task with the engine's weights."""
        for task, batches in self.batches.items():
            sums = total(engine, islice(batches, self.steps))
            covers_split = self.steps is None and predicts_every_token(engine.program.objective)
            size = text_bytes(batches) if covers_split else None
            yield TaskMetrics(task, self.split, metrics(sums, size))


@part
class LabelEvaluation:
    """The objective's means and the tasks' own metrics, such as F1 and Matthews correlation.

    Where names collide the task's metric wins, so accuracy is in per cent. The mean of a task's
    metrics, as in GLUE, decides which checkpoint is the best.

    Args:
        mixture_or_task_name: a task, or a mixture whose tasks with this split are evaluated.
        lengths: TASK_FEATURE_LENGTHS.
        converter: factory of a feature converter of labelled examples.
        batch_size: rows of a batch; affects only speed.
        vocabulary: replaces that of the tasks' texts, if given.
        split: name of the split.
        steps: number of batches that examples of one row each fill; the whole split by default.
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
        from lm.data.batching.evaluation_batches import evaluation_batches, task_names
        from lm.data.evaluation.evaluation_task import EvaluationTask, LabelledTask

        self.split = split
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
        """Yields the metrics of each task with the engine's weights."""
        for name, (task, batches) in self.tasks.items():
            found = list(engine.predictions(batches))
            values = means(added(terms for terms, _ in found))
            predictions = task.predictions(outputs for _, outputs in found)
            own = task.metrics(predictions)
            score = statistics.fmean(own.values()) if own else None
            yield TaskMetrics(name, self.split, values | own, score)


@part
class TextEvaluation:
    """The tasks' own metrics of generated texts, with the current weights.

    As the first of `train.train.evaluations` it decides which checkpoint is the best, and when
    patience runs out.

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
        """Yields the metrics of each task."""
        from lm.inference.evaluate import prompts

        engine.pull()
        for task in self.tasks:
            trained = self._made(task, engine.program.objective)
            generated = self.generate(trained=trained, prompts=prompts(trained, task))
            texts = [found[0].text if found else "" for found in generated.candidates]
            found = task.of_predictions(texts)
            values = {name: value for name, value in found.items() if isinstance(value, float)}
            yield TaskMetrics(task.name, task.split, values, self._score(task.name, values))

    def _made(self, task: Any, objective: Any) -> Trained:
        """Returns the model wrapped for a task; cached, since it holds the compiled functions."""
        if task.name not in self._trained:
            features = task.task.output_features
            self._trained[task.name] = Trained(
                objective=objective, features=features, task=task.name, **self._settings
            )
        return self._trained[task.name]

    def _score(self, task: str, values: Mapping[str, float]) -> float:
        """Returns the decisive metric."""
        name = self.decisive or next(iter(values))
        if name not in values:
            raise ConfigError(
                f"TextEvaluation.decisive = {name!r}: the metrics of {task} are {', '.join(values)}"
            )
        return values[name]


def total(engine: Engine, batches: Iterable[Batch]) -> dict[str, tuple[float, float]]:
    """Returns name -> (total, weight) over all batches, in order."""
    return added(engine.evaluations(batches))


def added(found: Iterable[Ratios]) -> dict[str, tuple[float, float]]:
    """Returns name -> (total, weight) over the terms of batches, added in float64."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for terms in found:
        for name, ratio in terms.items():
            for i, x in enumerate(ratio):
                sums[name][i] += float(x)
    return {name: (pair[0], pair[1]) for name, pair in sums.items()}


def metrics(
    sums: Mapping[str, tuple[float, float]], text_size: int | None = None
) -> dict[str, float]:
    """Returns the means, the perplexity and, where the size of the text is known, bits per byte.

    Args:
        sums: name -> (total, weight); cross entropies in nats.
        text_size: bytes of the text that was predicted.

    Example:
        >>> metrics({"cross_entropy": (0.0, 10.0)}, 5)
        {'cross_entropy': 0.0, 'token_perplexity': 1.0, 'bits_per_byte': 0.0}
    """
    values = means(sums)
    nats, tokens = sums.get("cross_entropy", (0.0, 0.0))
    if tokens:
        values["token_perplexity"] = perplexity(nats, tokens)
        if text_size:
            values["bits_per_byte"] = bits(nats, text_size)
    return values


def means(sums: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Returns name -> total / weight; NaN if the weight is 0."""
    return {n: total / weight if weight else math.nan for n, (total, weight) in sums.items()}


def text_bytes(batches: Any) -> int | None:
    """Returns the size of the targets' text in bytes.

    None if the task does not keep the text, or if a target is truncated: then the cross entropy is
    that of a part of the text.
    """
    try:
        size = sum(len(text.encode()) for text in batches.texts())
        return None if batches.is_truncated() else size
    except (AttributeError, KeyError):
        return None
