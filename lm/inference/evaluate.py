"""Metrics of a model on a task: the entry function of `lm eval`, `evaluate.evaluate` in gin.

Likelihoods are summed over the whole split in float64 and divided once at the end; every example
counts exactly once. Metrics of generated text are the task's own.

Results are written to the run folder, in SeqIO's files:

inference_eval/<task>/<task>-metrics.jsonl      one line an evaluation: metrics and metadata
inference_eval/<task>/<task>-<step:06>.jsonl    one line an example, of the newest evaluation
inference_eval/<task>/<task>-<step:06>-confusion.png    of a model that labels
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from lm import disk, lock
from lm.data.batching.evaluation_batches import evaluation_batches, task_names
from lm.data.evaluation.evaluation_task import (
    EvaluationTask,
    LabelledTask,
    Metric,
    short_hash,
)
from lm.data.evaluation.label_metrics import Confusion
from lm.data.evaluation.metrics import likelihood_metrics
from lm.inference.generate import Generated
from lm.inference.plots import plot_confusion
from lm.inference.predict import named, predict_rows
from lm.inference.score import row_scores, score_pairs
from lm.inference.trained import Trained
from lm.json_file import as_lines
from lm.likelihood import perplexity
from lm.objectives.objective import Objective, Ratio, initial_carry
from lm.parts import entry
from lm.ranges import PositiveInt
from lm.types import Batch, Features

Batches: TypeAlias = Iterable[Batch]

FOLDER = "inference_eval"


class EvaluationResult(NamedTuple):
    """The result on a task.

    Attributes:
        metrics: name → value.
        metadata: task, split, tokenizer, decode settings, checkpoint, seed, hashes of task, data,
            prompts (ids as the model reads them) and config.
        columns: inputs, targets and, if the task needs them, predictions and scores, each with
            one value per example.
        confusion: the confusion matrix of a classifier.
    """

    metrics: dict[str, Any]
    metadata: dict[str, Any]
    columns: dict[str, list[Any]]
    confusion: Confusion | None = None

    def row(self) -> dict[str, Any]:
        """Returns metrics and metadata as one record."""
        by_label = self.confusion.record() if self.confusion else {}
        return {**self.metadata, **self.metrics, **by_label}

    def examples(self) -> list[dict[str, Any]]:
        """Returns one record per example."""
        rows = zip(*self.columns.values(), strict=True)
        return [dict(zip(self.columns, row, strict=True)) for row in rows]


class Totals(NamedTuple):
    """Sums over a split, float64: nats, targets that are the most probable token, targets."""

    nats: float
    correct: float
    tokens: float


@entry
def evaluate(
    *,
    trained: Trained,
    generate: Callable[..., Generated],
    mixture_or_task_name: str | None = None,
    split: str = "validation",
    batches: Callable[..., Batches] | None = None,
    batch_size: PositiveInt = 16,
    limit: PositiveInt | None = None,
    metrics: Sequence[Metric] | None = None,
) -> list[EvaluationResult]:
    """Returns the metrics on a task, or on each task of a mixture.

    Args:
        trained: the model.
        generate: generates the texts for a task's metrics; gin binds its settings as
            `generate.generate`.
        mixture_or_task_name: by default that of the training.
        split: the split.
        batches: factory of the rows over which the likelihood is summed, such as
            `windows.window_batches` for a model of a continuous stream; by default each example
            is one row.
        batch_size: rows of a batch; affects only speed.
        limit: number of examples from the start of each task; all by default.
        metrics: metric functions in place of the task's own, such as `[@metrics.bleu]`, whose
            settings are bound as `metrics.bleu.tokenize`.

    Raises:
        UserError: an unknown task, split or feature.
    """
    found = []
    for name in task_names(mixture_or_task_name or trained.task, split):
        task = EvaluationTask(
            name,
            split,
            lengths=trained.lengths,
            vocabulary=trained.vocabulary,
            limit=limit,
            metrics=metrics,
        )
        rows = evaluation_rows(trained, task, batches, batch_size)
        if trained.predicts_labels:
            found.append(evaluate_labels(trained, task, rows or ()))
        elif not trained.predicts_text:
            found.append(evaluate_terms(trained, task, rows or ()))
        else:
            found.append(evaluate_task(trained, task, generate, rows=rows, batch_size=batch_size))
    return found


def evaluate_task(
    trained: Trained,
    task: EvaluationTask,
    generate: Callable[..., Generated],
    *,
    rows: Batches | None,
    batch_size: int,
) -> EvaluationResult:
    """Returns the metrics on a task.

    Args:
        trained: the model.
        task: the task.
        generate: generates texts.
        rows: batches over which the likelihood is summed; by default the examples themselves.
        batch_size: examples of a batch.
    """
    names = [name for name in ("inputs", "targets") if name in task.task.output_features]
    columns: dict[str, list[Any]] = {name: task.texts(name) for name in names}
    metadata = task_metadata(task)
    if trained.has_decoder:
        metadata["prompts"] = short_hash([read for read, _ in pairs(trained, task)])
    task_metrics: dict[str, float] = {}
    if rows is None or task.needs_scores:
        sums = score_pairs(trained, pairs(trained, task), batch_size=batch_size)
        columns["score"] = sums[:, 0].tolist()
        task_metrics |= task.of_scores(columns["score"]) if task.needs_scores else {}
    if task.needs_predictions and trained.has_decoder and trained.input_format.has_inputs:
        task.try_metrics()
        generated = generate(trained=trained, prompts=prompts(trained, task))
        columns["prediction"] = [found[0].text if found else "" for found in generated.candidates]
        task_metrics |= task.of_predictions(columns["prediction"])
        metadata["decoding"] = generated.decoding
    totals = totals_of_pairs(sums, task) if rows is None else totals_of_rows(trained, rows)
    return EvaluationResult(
        {**likelihood(trained, totals, task), **task_metrics},
        {**metadata, **trained.metadata},
        columns,
    )


def evaluate_labels(trained: Trained, task: EvaluationTask, rows: Batches) -> EvaluationResult:
    """Returns the metrics and the confusion matrix of a classifier on a task."""
    found = list(predict_rows(trained, rows))
    labelled = LabelledTask(task, trained.converter())
    predictions = labelled.predictions(outputs for _, outputs in found)
    nats, weight = (sum(float(np.sum(scores[i])) for scores, _ in found) for i in (0, 2))
    columns = {
        "inputs": task.texts("inputs"),
        "targets": [named(target, labelled.names) for target in labelled.targets],
        "prediction": [named(prediction, labelled.names) for prediction in predictions],
    }
    metrics = {"loss": -nats / max(weight, 1), **labelled.metrics(predictions)}
    return EvaluationResult(
        metrics | {"examples": len(task.examples)},
        {**task_metadata(task), **trained.metadata},
        columns,
        labelled.confusion(predictions),
    )


def evaluate_terms(trained: Trained, task: EvaluationTask, rows: Batches) -> EvaluationResult:
    """Returns the means reported by an objective that assigns no probability to texts."""
    program = trained.program(terms)
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2))
    for batch in rows:
        for name, ratio in program(dict(batch)).items():
            sums[name] += np.asarray(ratio, "float64")
    means = {name: total / weight if weight else math.nan for name, (total, weight) in sums.items()}
    return EvaluationResult(
        means | {"examples": len(task.examples)},
        {**task_metadata(task), **trained.metadata},
        {"targets": task.texts("targets")},
    )


def terms(objective: Objective, features: Features) -> Mapping[str, Ratio]:
    """Returns the sums of a batch, in evaluation mode."""
    return objective.terms(features, objective(features, training=False))


def task_metadata(task: EvaluationTask) -> dict[str, Any]:
    """Returns the metadata of a task: data, split and tokenizer of a result."""
    return {
        "task": task.name,
        "split": task.split,
        "task_version": task.version(),
        "data": task.fingerprint(),
    }


def evaluation_rows(
    trained: Trained, task: EvaluationTask, batches: Callable[..., Batches] | None, batch_size: int
) -> Batches | None:
    """Returns the batches of a factory; by default None, or for an encoder those of its task."""
    settings = {
        "mixture_or_task_name": task.name,
        "split": task.split,
        "lengths": trained.lengths,
        "vocabulary": trained.vocabulary,
        "batch_size": batch_size,
    }
    if batches:
        return batches(**settings)
    if trained.has_decoder and not trained.predicts_labels:
        return None
    return evaluation_batches(converter=trained.converter, limit=task.limit, **settings)


def pairs(trained: Trained, task: EvaluationTask) -> list[tuple[list[int], list[int]]]:
    """Returns inputs and targets of every example as ids."""
    targets = task.ids("targets")
    read = prompts(trained, task) if trained.input_format.has_inputs else [[] for _ in targets]
    return list(zip(read, targets, strict=True))


def prompts(trained: Trained, task: EvaluationTask) -> list[list[int]]:
    """Returns the inputs as ids, truncated to the length of training."""
    return [ids[: trained.lengths.get("inputs")] for ids in task.ids("inputs")]


def totals_of_pairs(sums: np.ndarray, task: EvaluationTask) -> Totals:
    """Returns the totals of the result of `score_pairs`."""
    log_likelihood, correct = sums.sum(axis=0)
    return Totals(-log_likelihood, correct, sum(map(len, task.ids("targets"))))


def totals_of_rows(trained: Trained, rows: Batches) -> Totals:
    """Returns the totals over batches in order; the carry is passed from each to the next."""
    program, carry, sums = trained.program(row_scores), None, np.zeros(3)
    for batch in rows:
        carry = initial_carry(trained.objective, batch) if carry is None else carry
        found, carry = program((dict(batch), carry))
        sums += [np.sum(x, dtype="float64") for x in found]
    log_likelihood, correct, tokens = sums
    return Totals(-log_likelihood, correct, tokens)


def likelihood(trained: Trained, totals: Totals, task: EvaluationTask) -> dict[str, float]:
    """Returns loss, perplexities, bits, accuracy and counts; for some tokens only those defined."""
    nats, tokens = float(totals.nats), round(totals.tokens)
    by_token = {"token_perplexity": perplexity(nats, tokens)}
    return {
        "loss": nats / max(tokens, 1),
        **(
            likelihood_metrics(nats, tokens, task.sizes())
            if trained.predicts_every_token
            else by_token
        ),
        "accuracy": 100 * float(totals.correct) / max(tokens, 1),
        "tokens": tokens,
        "examples": len(task.examples),
    }


def write_result(result: EvaluationResult, workdir: Path) -> Path:
    """Writes the result on a task and returns its folder.

    Raises:
        UserError: the folder of results contains a link.
    """
    lock.refuse_links(workdir / FOLDER)
    task, step = result.metadata["task"], result.metadata.get("step", 0)
    folder = workdir / FOLDER / task
    with disk.writing(folder, "the results"):
        folder.mkdir(parents=True, exist_ok=True)
        examples = as_lines(result.examples()).encode()
        disk.replace(folder / f"{task}-{step:06}.jsonl", examples, what="the results")
        if result.confusion:
            plot_confusion(result.confusion, folder / f"{task}-{step:06}-confusion.png")
        with (folder / f"{task}-metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(as_lines([result.row()]))
    return folder
