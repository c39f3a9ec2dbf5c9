"""One exact pass over a split: batches with every example once, and the raw examples."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from lm.data.batching import stream
from lm.data.registry import task_registry
from lm.data.rows.converter import Converter, num_rows, to_rows
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Batch

Example = dict[str, Any]


class EvaluationBatches:
    """Batches of fixed shape that contain every example exactly once; can be iterated again.

    The last batch is filled with empty rows, whose segment ids and loss weights are 0.

    Args:
        examples: the examples in order.
        rows: their rows, each of fixed shape.
        batch_size: rows of a batch.
        num_rows: function from an example to its number of rows.
        is_truncated: returns whether a target is longer than its row and was truncated.

    Attributes:
        features: shapes and dtypes of a batch, as a dict of `tf.TensorSpec`.
    """

    def __init__(
        self,
        *,
        examples: tf.data.Dataset,
        rows: tf.data.Dataset,
        batch_size: PositiveInt,
        num_rows: Callable[[Example], int],
        is_truncated: Callable[[], bool] = lambda: False,
    ):
        self._examples = examples
        self._num_rows = num_rows
        self.is_truncated = functools.cache(is_truncated)
        self._rows = rows
        self.batch_size = batch_size
        self.features = {
            name: tf.TensorSpec([batch_size, *spec.shape], spec.dtype)
            for name, spec in rows.element_spec.items()
        }

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._rows.batch(self.batch_size).prefetch(2):
            yield {name: self._filled(tensor.numpy()) for name, tensor in batch.items()}

    @functools.cached_property
    def examples(self) -> list[Example]:
        """The examples in order: tokens as arrays, text such as `targets_pretokenized` as str."""
        return [
            {name: _python(value) for name, value in example.items()}
            for example in self._examples.as_numpy_iterator()
        ]

    @functools.cached_property
    def row_examples(self) -> np.ndarray:
        """The number of each row's example, in the order of the batches, without filler rows.

        Raises:
            UserError: rows are packed or run across examples.
        """
        counts = [self._num_rows(example) for example in self.examples]
        return np.repeat(np.arange(len(counts)), counts)

    def texts(self, feature: str = "targets") -> list[str]:
        """Returns the original text of a feature of every example.

        Raises:
            KeyError: the task does not keep it.
        """
        return [example[f"{feature}_pretokenized"] for example in self.examples]

    def _filled(self, rows: np.ndarray) -> np.ndarray:
        missing = self.batch_size - len(rows)
        return np.pad(rows, [(0, missing)] + [(0, 0)] * (rows.ndim - 1))


@part
def evaluation_batches(  # noqa: PLR0913 - keyword-only settings of one evaluation
    *,
    mixture_or_task_name: str,
    split: str = "validation",
    lengths: Mapping[str, PositiveInt],
    converter: Callable[[], Converter],
    batch_size: PositiveInt,
    vocabulary: seqio.Vocabulary | None = None,
    preprocessors: Sequence[stream.Preprocessor] = (),
    seed: int = 0,
    limit: PositiveInt | None = None,
) -> EvaluationBatches:
    """Returns one exact pass over a split of a task.

    Args:
        mixture_or_task_name: name of a registered task, not of a mixture.
        split: name of the split.
        lengths: TASK_FEATURE_LENGTHS.
        converter: factory of a feature converter; without packing, rows belong to single examples.
        batch_size: rows of a batch; affects only speed.
        vocabulary: replaces the task's own, if given.
        preprocessors: SeqIO preprocessors that follow the task's own.
        seed: of preprocessors that are random.
        limit: number of examples to take from the beginning; all by default.

    Raises:
        UserError: an unknown task, split, feature or length.
    """
    task = task_registry.task(mixture_or_task_name, split, vocabulary)
    converting = converter()
    steps = stream.Steps(lengths, converting.trims, preprocessors, seed)
    count = -1 if limit is None else limit
    examples = stream.one_pass(task, split, steps).take(count)

    def is_truncated() -> bool:
        if "targets" not in converting.trims:
            return False
        whole = stream.one_pass(task, split, steps._replace(trims=())).take(count)
        sizes = (len(example["targets"]) for example in whole.as_numpy_iterator())
        return any(size > lengths["targets"] for size in sizes)

    return EvaluationBatches(
        examples=examples,
        rows=to_rows(converting, examples, lengths),
        batch_size=batch_size,
        num_rows=lambda example: num_rows(converting, example, lengths),
        is_truncated=is_truncated,
    )


def task_names(mixture_or_task_name: str, split: str = "validation") -> list[str]:
    """Returns the names of a mixture's tasks with the split, or the name of a task itself."""
    found = task_registry.provider(mixture_or_task_name, split)
    return [task.name for task in task_registry.tasks(found, split)]


def _python(value: Any) -> Any:
    """Returns text as str, a list of texts as a list, a number as a Python number."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [_python(item) for item in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value
