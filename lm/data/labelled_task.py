"""A split of a task as a model that labels sees it: targets, predictions, names of the labels."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
import seqio

from lm.data.answers import LABEL_SET, LabelSetVocabulary, LabelVocabulary
from lm.data.classification import Decode, Example
from lm.data.confusion import Confusion, confusion
from lm.data.evaluation_task import EvaluationTask, Metrics

ANSWERS = ("label", "labels", LABEL_SET)


class Reader(Protocol):
    """What reads targets and predictions: a feature converter of labelled examples."""

    def target(self, example: Example, decode: Decode) -> Any:
        """Returns what is right for an example."""

    def prediction(self, example: Example, row: np.ndarray, decode: Decode) -> Any:
        """Returns what a model says of an example, in the same form."""


class LabelledTask:
    """The targets of a split in order, and how predictions compare with them.

    Args:
        task: the examples and metric functions.
        reader: the feature converter that makes the rows.
    """

    def __init__(self, task: EvaluationTask, reader: Reader) -> None:
        self.task = task
        self.reader = reader
        self.decode = task.task.output_features["inputs"].vocabulary.decode

    @functools.cached_property
    def targets(self) -> list[Any]:
        """What is right for each example."""
        return [self.reader.target(example, self.decode) for example in self.task.examples]

    def predictions(self, batches: Iterable[Any]) -> list[Any]:
        """Returns what a model says of each example, as the targets say it.

        Args:
            batches: of what it predicts for the rows, in order; more rows are left out.
        """
        rows = chain.from_iterable(np.asarray(batch) for batch in batches)
        pairs = zip(self.task.examples, rows, strict=False)
        return [self.reader.prediction(example, row, self.decode) for example, row in pairs]

    def metrics(self, predictions: Sequence[Any]) -> Metrics:
        """Returns the task's metrics of predictions."""
        return self.task.compare(self.targets, predictions)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the labels by their ids; none without names."""
        return names_of_labels(self.task.task.output_features)

    def confusion(self, predictions: Sequence[Any]) -> Confusion | None:
        """Returns which labels predictions take for which; None where there is not one for each."""
        if not self.names or LABEL_SET in self.task.task.output_features:
            return None
        return confusion(self.names, flat(self.targets), flat(predictions))


def names_of_labels(features: Mapping[str, seqio.Feature]) -> tuple[str, ...]:
    """Returns the names of a task's labels by their ids, of rows or of tokens; none without names.

    Args:
        features: the task's output features.
    """
    vocabularies = (features[name].vocabulary for name in ANSWERS if name in features)
    return next(
        (v.names for v in vocabularies if isinstance(v, LabelVocabulary | LabelSetVocabulary)), ()
    )


def flat(answers: Iterable[Any]) -> list[Any]:
    """Returns the answers of rows one after the other, those of tokens too.

    >>> flat([1, [2, 3]])
    [1, 2, 3]
    """
    return [
        part for answer in answers for part in (answer if isinstance(answer, list) else [answer])
    ]
