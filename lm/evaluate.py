"""Figures of a model on a task: the entry function of `lm eval`, `evaluate.evaluate` in gin.

Likelihoods are sums over the whole split, in float64, divided once at the end; no example is
dropped and none counts twice. Metrics of generated text are the task's own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lm.data import evaluation
from lm.data.evaluation_task import EvaluationTask, Metric, short_hash
from lm.data.metrics import likelihood_figures
from lm.generate import Generated
from lm.objectives.carry import initial_carry
from lm.parts import entry
from lm.ranges import PositiveInt
from lm.score import row_scores, score_pairs
from lm.trained import Trained

Batches = Iterable[Mapping[str, np.ndarray]]


class Evaluated(NamedTuple):
    """What was found on one task.

    Attributes:
        figures: metric name → value.
        facts: task, split, tokenizer, decode settings, checkpoint, seed, hashes of task, data,
            prompts (ids as the model reads them) and config.
        columns: inputs, targets and, if the task asks for them, predictions and scores; each one
            value an example.
    """

    figures: dict[str, Any]
    facts: dict[str, Any]
    columns: dict[str, list[Any]]

    def row(self) -> dict[str, Any]:
        """Returns figures and facts as one record."""
        return {**self.facts, **self.figures}

    def examples(self) -> list[dict[str, Any]]:
        """Returns one record an example."""
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
) -> list[Evaluated]:
    """Returns the figures on a task, or on each task of a mixture.

    Args:
        trained: the model.
        generate: makes the texts that a task's metrics look at; its settings are gin's
            `generate.generate`.
        mixture_or_task_name: by default what the model was trained on.
        split: the split.
        batches: factory of the rows over which the likelihood is summed, such as
            `windows.window_batches` for a model of an unbroken stream; by default every example
            is read by itself, whole.
        batch_size: rows at a time; changes nothing but speed.
        limit: number of examples to take from the beginning of each task; all by default.
        metrics: metric functions in place of the task's own, such as `[@metrics.bleu]`, whose
            settings are bound as `metrics.bleu.tokenize`.

    Raises:
        UserError: naming what is unknown: task, split or feature.
    """
    found = []
    for name in evaluation.task_names(mixture_or_task_name or trained.task, split):
        task = EvaluationTask(
            name,
            split,
            lengths=trained.lengths,
            vocabulary=trained.vocabulary,
            limit=limit,
            metrics=metrics,
        )
        rows = rows_of(trained, task, batches, batch_size)
        found.append(evaluated(trained, task, generate, rows=rows, batch_size=batch_size))
    return found


def evaluated(
    trained: Trained,
    task: EvaluationTask,
    generate: Callable[..., Generated],
    *,
    rows: Batches | None,
    batch_size: int,
) -> Evaluated:
    """Returns the figures on one task.

    Args:
        trained: the model.
        task: the task.
        generate: makes texts.
        rows: over which the likelihood is summed; None for those of the single examples.
        batch_size: examples at a time.
    """
    names = [name for name in ("inputs", "targets") if name in task.task.output_features]
    columns: dict[str, list[Any]] = {name: task.texts(name) for name in names}
    facts: dict[str, Any] = {"task": task.name, "split": task.split}
    facts |= {"task_version": task.version(), "data": task.fingerprint()}
    if trained.writes:
        facts["prompts"] = short_hash([read for read, _ in pairs(trained, task)])
    own: dict[str, float] = {}
    if rows is None or task.needs_scores:
        sums = score_pairs(trained, pairs(trained, task), batch_size=batch_size)
        columns["score"] = sums[:, 0].tolist()
        own |= task.of_scores(columns["score"]) if task.needs_scores else {}
    if task.needs_predictions and trained.writes and trained.reader.reads_inputs:
        made = generate(trained=trained, prompts=prompts(trained, task))
        columns["prediction"] = [found[0].text if found else "" for found in made.candidates]
        own |= task.of_predictions(columns["prediction"])
        facts["decoding"] = made.decoding
    totals = totals_of_pairs(sums, task) if rows is None else totals_of_rows(trained, rows)
    return Evaluated({**likelihood(totals, task), **own}, {**facts, **trained.facts}, columns)


def rows_of(
    trained: Trained, task: EvaluationTask, batches: Callable[..., Batches] | None, batch_size: int
) -> Batches | None:
    """Returns the rows of a factory; without one, those of a model that has no decoder."""
    given = {
        "mixture_or_task_name": task.name,
        "split": task.split,
        "lengths": trained.lengths,
        "vocabulary": trained.vocabulary,
        "batch_size": batch_size,
    }
    if batches:
        return batches(**given)
    if trained.writes:
        return None
    return evaluation.evaluation_batches(converter=trained.converter, limit=task.limit, **given)


def pairs(trained: Trained, task: EvaluationTask) -> list[tuple[list[int], list[int]]]:
    """Returns what is read and what is scored, of every example."""
    targets = task.ids("targets")
    read = prompts(trained, task) if trained.reader.reads_inputs else [[] for _ in targets]
    return list(zip(read, targets, strict=True))


def prompts(trained: Trained, task: EvaluationTask) -> list[list[int]]:
    """Returns the inputs as ids, cut to the length of the training."""
    return [ids[: trained.lengths.get("inputs")] for ids in task.ids("inputs")]


def totals_of_pairs(sums: np.ndarray, task: EvaluationTask) -> Totals:
    """Returns the totals of `score_pairs`."""
    log_likelihood, correct = sums.sum(axis=0)
    return Totals(-log_likelihood, correct, sum(map(len, task.ids("targets"))))


def totals_of_rows(trained: Trained, rows: Batches) -> Totals:
    """Returns the totals over batches of rows, in order: a row may go on with the one before."""
    program, carry, sums = trained.program(row_scores), None, np.zeros(3)
    for batch in rows:
        carry = initial_carry(trained.objective, batch) if carry is None else carry
        found, carry = program((dict(batch), carry))
        sums += [np.sum(x, dtype="float64") for x in found]
    log_likelihood, correct, tokens = sums
    return Totals(-log_likelihood, correct, tokens)


def likelihood(totals: Totals, task: EvaluationTask) -> dict[str, float]:
    """Returns perplexities, bits and the share of targets that are the most probable token."""
    tokens = round(totals.tokens)
    return {
        "loss": float(totals.nats) / max(tokens, 1),
        **likelihood_figures(float(totals.nats), tokens, task.sizes()),
        "accuracy": 100 * float(totals.correct) / max(tokens, 1),
        "tokens": tokens,
        "examples": len(task.examples),
    }
