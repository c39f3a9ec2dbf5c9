"""Labels for given texts: the entry function of `lm predict`, `predict.predict` in gin."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lm.data.batching.evaluation_batches import EvaluationBatches
from lm.data.batching.unlabelled import (
    UNLIMITED,
    sizes,
    text_columns,
    unlabelled,
    with_unknown_answers,
)
from lm.data.evaluation.evaluation_task import by_example
from lm.data.registry import task_registry
from lm.data.registry.answers import names_of_labels
from lm.data.rows.converter import to_rows
from lm.errors import UserError
from lm.inference.trained import Trained
from lm.objectives.objective import RowScores
from lm.parts import entry
from lm.ranges import PositiveInt
from lm.types import Batch, Features, Tensor


class Prediction(NamedTuple):
    """The prediction for one text or pair.

    Attributes:
        answer: name of the label, number, or text of the answer.
        probabilities: label name -> probability; empty if the answer is not a label.
        is_cut: whether the text was too long and truncated.
    """

    answer: Any
    probabilities: dict[str, float]
    is_cut: bool


@entry
def predict(
    *,
    trained: Trained,
    examples: Sequence[str | Mapping[str, str]],
    batch_size: PositiveInt = 16,
) -> list[Prediction]:
    """Returns the prediction for each example, in order.

    Args:
        trained: the model.
        examples: texts, or rows with the columns that the task reads.
        batch_size: rows of a batch; affects only speed.

    Raises:
        UserError: the model is not a classifier, or an example has no text.
    """
    task, rows = task_of(trained), texts_of(examples, columns(trained))
    if not rows:
        return []
    converter = trained.converter()
    made = with_unknown_answers(unlabelled(task, rows, trained.lengths), converter.task_features)
    full_sizes = sizes(unlabelled(task, rows, dict.fromkeys(trained.lengths, UNLIMITED)))
    batches = EvaluationBatches(
        examples=made,
        rows=to_rows(converter, made, trained.lengths),
        batch_size=min(batch_size, len(rows)),
        num_rows=lambda example: converter.num_rows(example, trained.lengths),
    )
    outputs = (outputs for _, outputs in predict_rows(trained, batches))
    found = by_example(converter, batches.examples, outputs, trained.lengths)
    names = names_of_labels(trained.features)
    decode = trained.features["inputs"].vocabulary.decode
    return [
        Prediction(
            answer=named(converter.prediction(example, rows, decode), names),
            probabilities=by_name(rows, names),
            is_cut=size > len(example["inputs"]),
        )
        for (example, rows), size in zip(found, full_sizes, strict=True)
    ]


def columns(trained: Trained) -> list[str]:
    """Returns the columns of text that a model's task reads.

    Raises:
        UserError: the model is not a classifier, or its task has no columns of text.
    """
    return list(text_columns(task_of(trained)).values())


def task_of(trained: Trained) -> Any:
    """Returns the task that a model was trained on, in its vocabulary; of a mixture, the first.

    Raises:
        UserError: the model is not a classifier.
    """
    if not trained.predicts_labels:
        raise UserError(
            f"{type(trained.objective).__name__} has no labels: use `lm generate` or `lm score`"
        )
    first = task_registry.tasks(task_registry.get(trained.task), "train")[0]
    return task_registry.with_vocabulary(first, trained.vocabulary)


def texts_of(
    examples: Sequence[str | Mapping[str, str]], names: Sequence[str]
) -> list[dict[str, str]]:
    """Returns the texts of examples by column.

    Raises:
        UserError: an example lacks a text.
    """
    rows = []
    for number, example in enumerate(examples, 1):
        row = {names[0]: example} if isinstance(example, str) else example
        for name in names:
            if not isinstance(row.get(name), str) or not row[name].strip():
                needed = " and ".join(map(repr, names))
                raise UserError(f"example {number}: no text {name!r}; it needs {needed}")
        rows.append({name: row[name] for name in names})
    return rows


def predict_rows(
    trained: Trained, batches: Iterable[Batch]
) -> Iterator[tuple[RowScores, np.ndarray]]:
    """Yields scores and predictions of the rows of every batch."""
    program = trained.program(row_predictions)
    for batch in batches:
        scores, predictions = program(dict(batch))
        yield RowScores(*scores), predictions


def row_predictions(objective: Any, features: Features) -> tuple[RowScores, Tensor]:
    """Returns the objective's sums of every row, and its predictions."""
    outputs = objective(features, training=False)
    return objective.scores(features, outputs), objective.predictions(features, outputs)


def named(answer: Any, names: Sequence[str]) -> Any:
    """Returns the names of labels, "" for no label; scores and texts are unchanged.

    >>> named(1, ("no", "yes")), named([0, -1], ("no", "yes")), named(2.5, ()), named(1, ())
    ('yes', ['no', ''], 2.5, 1)
    """
    if isinstance(answer, list):
        return [named(part, names) for part in answer]
    if not names or not isinstance(answer, int):
        return answer
    return names[answer] if answer >= 0 else ""


def by_name(rows: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Returns label name -> probability, from probabilities [1, L]; empty without names.

    >>> by_name(np.array([[0.25, 0.75]]), ("no", "yes")), by_name(np.array([2.5]), ())
    ({'no': 0.25, 'yes': 0.75}, {})
    """
    if rows.shape[:-1] != (1,):
        return {}
    values = rows[0].tolist()
    return dict(zip(names or map(str, range(len(values))), values, strict=True))
