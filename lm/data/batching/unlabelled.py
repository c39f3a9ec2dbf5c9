"""Examples of a task from texts without labels, for predictions."""

from collections.abc import Mapping, Sequence

import seqio
import tensorflow as tf

from lm.data.batching import stream
from lm.data.mapping import mapped
from lm.data.preprocessing.choice_task import CHOICES
from lm.data.preprocessing.classification_task import KEYS, chosen
from lm.data.rows.packing import Features, Lengths
from lm.errors import UserError

UNLIMITED = 2**20
_UNKNOWN = {"label": -1, "label_set": [0], "score": 0.0, "start": -1, "end": -1}


def text_columns(task: seqio.Task) -> dict[str, str]:
    """Returns the column of each text of a classification task, `{feature: column}`.

    Raises:
        UserError: it is not a classification task, or one of multiple choice.
    """
    first = task.preprocessors[0]
    if getattr(first, "func", None) is not chosen:
        raise UserError(
            f"{task.name} has no known columns of text: it was not made by "
            "lm.data.preprocessing.classification_task"
        )
    keys = first.keywords["keys"]
    if CHOICES in keys:
        raise UserError(f"{task.name} is a multiple-choice task: use `lm eval`")
    return {name: keys[name] for name in KEYS if name in keys}


def unlabelled(
    task: seqio.Task, texts: Sequence[Mapping[str, str]], lengths: Lengths
) -> tf.data.Dataset:
    """Returns an example for each row of texts, in order, preprocessed as by the task.

    Args:
        task: a classification task.
        texts: rows with the columns of `text_columns`.
        lengths: TASK_FEATURE_LENGTHS, to which the task truncates.
    """
    columns = text_columns(task)
    rows = {name: [row[column] for row in texts] for name, column in columns.items()}
    steps = [s for s in task.preprocessors[1:] if not isinstance(s, seqio.CacheDatasetPlaceholder)]
    return stream.preprocess(
        task.replace(preprocessors=steps),
        tf.data.Dataset.from_tensor_slices(rows),
        stream.Steps(lengths),
    )


def with_unknown_answers(dataset: tf.data.Dataset, names: Sequence[str]) -> tf.data.Dataset:
    """Returns the examples with placeholders for the unknown answers, which converters need."""

    def filled(example: Features) -> Features:
        unknown = {**_UNKNOWN, "labels": tf.zeros_like(example["inputs"])}
        missing = [name for name in names if name not in example]
        return {**example, **{name: tf.convert_to_tensor(unknown[name]) for name in missing}}

    return mapped(dataset, filled)


def sizes(dataset: tf.data.Dataset) -> list[int]:
    """Returns the number of tokens of each example's inputs."""
    return [len(example["inputs"]) for example in dataset.as_numpy_iterator()]
