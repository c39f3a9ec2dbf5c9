"""One split of a task for evaluation: examples, texts, and the task's own metrics.

Metric functions are called as by SeqIO's Evaluator: the task's postprocessor first processes the
texts of targets and predictions, given the example and `is_target`; score functions get the
log-likelihood of each example's targets. `seqio.Evaluator` itself only takes names of registered
tasks, and a task with another vocabulary is not registered.

A `LabelledTask` is such a split for a model of labels: its feature converter turns examples and
rows of output into comparable targets and predictions.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Protocol

import numpy as np
import seqio

from lm.data.batching import stream
from lm.data.evaluation.label_metrics import Confusion, confusion
from lm.data.evaluation.metrics import Signed, TextSizes, text_sizes
from lm.data.registry import task_registry
from lm.data.registry.answers import LABEL_SET, names_of_labels
from lm.data.rows.classification import Decode
from lm.data.rows.packing import Lengths
from lm.data.storage import fingerprints
from lm.errors import UserError
from lm.ranges import PositiveInt

Example = Mapping[str, Any]
Metrics = dict[str, Any]
Metric = Callable[..., Mapping[str, Any]]
_TRIED = 100  # examples


class EvaluationTask:
    """The examples of a split in order, their texts and metrics.

    Args:
        name: of a task.
        split: the split.
        lengths: TASK_FEATURE_LENGTHS, for preprocessors that need it.
        vocabulary: replaces the task's own, if given.
        limit: number of examples to take from the beginning; all by default.
        metrics: functions in place of the task's own.

    Attributes:
        name: of the task.
        split: the split.
        needs_predictions: whether a metric needs generated texts.
        needs_scores: whether a metric needs log-likelihoods.

    Raises:
        UserError: the task or split is unknown.
    """

    def __init__(
        self,
        name: str,
        split: str,
        *,
        lengths: Mapping[str, PositiveInt],
        vocabulary: seqio.Vocabulary | None = None,
        limit: PositiveInt | None = None,
        metrics: Sequence[Metric] | None = None,
    ) -> None:
        self.name = name
        self.split = split
        self.lengths = lengths
        self.limit = limit
        task = task_registry.task(name, split, vocabulary)
        self.task = task if metrics is None else task.replace(metric_fns=list(metrics))
        self.needs_predictions = bool(self.task.predict_metric_fns)
        self.needs_scores = bool(self.task.score_metric_fns)

    @functools.cached_property
    def examples(self) -> list[Example]:
        """The examples as NumPy values, text as bytes, as SeqIO passes them to postprocessors."""
        steps = stream.Steps(self.lengths, trims=("inputs",))
        examples = stream.one_pass(self.task, self.split, steps)
        taken = examples.take(-1 if self.limit is None else self.limit)
        return list(taken.as_numpy_iterator())

    def ids(self, feature: str) -> list[list[int]]:
        """Returns the ids of a feature of every example."""
        return [[int(i) for i in example[feature]] for example in self.examples]

    def texts(self, feature: str) -> list[str]:
        """Returns a feature's texts: the original ones if the task keeps them, else decoded."""
        kept = f"{feature}_pretokenized"
        if all(kept in example for example in self.examples):
            return [example[kept].decode(errors="replace") for example in self.examples]
        vocabulary = self.task.output_features[feature].vocabulary
        return [vocabulary.decode(ids) for ids in self.ids(feature)]

    def sizes(self) -> TextSizes:
        """Returns the sizes of the original targets; words by the task's own count, if any."""
        sizes = text_sizes(self.texts("targets"))
        if all("words" in example for example in self.examples):
            return sizes._replace(words=sum(int(example["words"]) for example in self.examples))
        return sizes

    def of_predictions(self, predictions: Sequence[str]) -> Metrics:
        """Returns the metrics of generated texts, one text for each example."""
        made = self._processed(predictions, is_target=False)
        return _metrics(self.task.predict_metric_fns, self._targets, made)

    def try_metrics(self) -> None:
        """Computes the metrics of texts on the first targets, as if these were generated.

        Raises:
            UserError: a metric cannot be computed on texts like these.
        """
        if self.needs_predictions and self.examples:
            made = self._processed(self.texts("targets"), is_target=False)
            _metrics(self.task.predict_metric_fns, self._targets[:_TRIED], made[:_TRIED])

    def compare(self, targets: Sequence[Any], predictions: Sequence[Any]) -> Metrics:
        """Returns the metrics of predictions other than texts, such as labels."""
        expected = self._processed(targets, is_target=True)
        made = self._processed(predictions, is_target=False)
        return _metrics(self.task.predict_metric_fns, expected, made)

    def of_scores(self, scores: Sequence[float]) -> Metrics:
        """Returns the metrics of log-likelihoods, one for each example."""
        return _metrics(self.task.score_metric_fns, self._targets, list(scores))

    def fingerprint(self) -> str:
        """Returns a short hash of the data, the preprocessing and the vocabularies."""
        fingerprint = [
            self.name,
            fingerprints.source(self.task.source, self.split),
            fingerprints.features(self.task.output_features),
            fingerprints.describe(list(self.task.preprocessors)),
        ]
        return short_hash(fingerprint)

    def version(self) -> str:
        """Returns a short hash of the task's code and settings, without its data."""
        task = self.task
        steps = [*task.preprocessors, task.postprocess_fn, *task.metric_fns]
        return short_hash([self.name, fingerprints.describe(steps), sorted(task.output_features)])

    @functools.cached_property
    def _targets(self) -> list[Any]:
        return self._processed(self.texts("targets"), is_target=True)

    def _processed(self, outputs: Sequence[Any], *, is_target: bool) -> list[Any]:
        """Returns texts or labels after the task's postprocessor."""
        return [
            self.task.postprocess_fn(output, example=example, is_target=is_target)
            for output, example in zip(outputs, self.examples, strict=True)
        ]


def short_hash(values: Any) -> str:
    """Returns the first 12 hexadecimal digits of the hash of plain values."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _metrics(functions: Sequence[Callable[..., Any]], targets: Any, outputs: Any) -> Metrics:
    """Returns the metrics of all functions in one dict, with their signatures."""
    values: Metrics = {}
    for function in functions:
        for name, value in function(targets, outputs).items():
            if name in values:
                raise UserError(f"two metric functions of a task return {name!r}; rename one")
            values[name] = float(getattr(value, "value", value))  # seqio.metrics.Scalar has one
            if isinstance(value, Signed):
                values[f"{name}_signature"] = value.signature
    return values


def try_metrics(name: str, split: str, lengths: Mapping[str, PositiveInt]) -> None:
    """Computes the metrics of texts of a task, or of those of a mixture; see `EvaluationTask`.

    Raises:
        UserError: a name is unknown, or a metric cannot be computed on a task's texts.
    """
    for part in task_registry.tasks(task_registry.provider(name, split), split):
        targets = part.output_features.get("targets")
        if targets is None or targets.rank != 1:  # labels, or several answers of a question
            continue
        task = EvaluationTask(part.name, split, lengths=lengths, limit=_TRIED)
        if not task.examples:  # which are read here
            continue
        try:
            task.try_metrics()
        except UserError as error:
            raise UserError(f"{task.name}: {error}") from error


class Reader(Protocol):
    """A feature converter of labelled examples, which also reads targets and predictions."""

    def target(self, example: Example, decode: Decode) -> Any:
        """Returns the target of an example."""

    def prediction(self, example: Example, rows: np.ndarray, decode: Decode) -> Any:
        """Returns the prediction for an example from the output for its rows, in the same form."""

    def num_rows(self, example: Example, lengths: Lengths) -> int:
        """Returns the number of rows of an example."""


class LabelledTask:
    """The targets of a split in order, and their comparison with predictions.

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
        """The target of each example."""
        return [self.reader.target(example, self.decode) for example in self.task.examples]

    def predictions(self, batches: Iterable[Any]) -> list[Any]:
        """Returns the prediction for each example, in the form of the targets.

        Args:
            batches: a model's output for the rows, in order; surplus rows are ignored.
        """
        found = by_example(self.reader, self.task.examples, batches, self.task.lengths)
        return [self.reader.prediction(example, rows, self.decode) for example, rows in found]

    def metrics(self, predictions: Sequence[Any]) -> Metrics:
        """Returns the task's metrics of predictions."""
        return self.task.compare(self.targets, predictions)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the labels by their ids; none without names."""
        return names_of_labels(self.task.task.output_features)

    def confusion(self, predictions: Sequence[Any]) -> Confusion | None:
        """Returns the confusion matrix; None unless each example has one label."""
        if not self.names or LABEL_SET in self.task.task.output_features:
            return None
        return confusion(self.names, flat(self.targets), flat(predictions))


def by_example(
    reader: Reader, examples: Iterable[Example], batches: Iterable[Any], lengths: Lengths
) -> Iterator[tuple[Example, np.ndarray]]:
    """Yields each example with the concatenated predictions for its rows [R·N, C].

    Args:
        reader: the feature converter that makes the rows.
        examples: in order.
        batches: predictions for the rows, [B, N, C] each, in order; surplus rows are ignored.
        lengths: TASK_FEATURE_LENGTHS.
    """
    rows = chain.from_iterable(np.asarray(batch) for batch in batches)
    for example in examples:
        yield example, np.concatenate(list(islice(rows, reader.num_rows(example, lengths))))


def flat(answers: Iterable[Any]) -> list[Any]:
    """Returns the answers of rows, or of their tokens, in one list.

    >>> flat([1, [2, 3]])
    [1, 2, 3]
    """
    return [
        part for answer in answers for part in (answer if isinstance(answer, list) else [answer])
    ]
