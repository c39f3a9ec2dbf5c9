"""Feature converters of labelled examples: one row per example, with inputs and labels.

    labels         [B, N]  the label of the row (N = 1) or of every token
    label_weights  [B, N]  1, or 0 without a label: a label of -1, padding, an empty row

A converter also turns labels and predictions into what a task's metric functions compare (`target`,
`prediction`). Questions and multiple choice: `lm.data.rows.question_answering`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from lm.data.mapping import mapped
from lm.data.rows import packing
from lm.data.rows.converter import one_row
from lm.data.rows.features import needed, with_features
from lm.data.rows.packing import Features, Lengths
from lm.parts import part

Example: TypeAlias = Mapping[str, Any]
Decode: TypeAlias = Callable[[Sequence[int]], str]
"""Ids -> text, for converters whose predictions are text."""


def label_of(converter: Any, example: Example, decode: Decode) -> int:
    """Returns the label of an example: the `target` of a converter with one label per row."""
    del converter, decode
    return int(np.ravel(example["label"])[0])


def most_probable(
    converter: Any, example: Example, probabilities: np.ndarray, decode: Decode
) -> int:
    """Returns the most probable label of a row [1, L]: the `prediction` of such a converter."""
    del converter, example, decode
    return int(probabilities[0].argmax())


@part
class Classification:
    """Rows of `lengths["inputs"]` with one label, the task's `label`: int32, a scalar or [1].

    `token_types` are passed on if the task has them. Longer inputs are truncated; the pipeline logs
    how many. To truncate one text of a pair, let the task do it.

    Args:
        side: of the model, `encoder` or `decoder`.

    Example:
        >>> from lm.data.rows.converter import to_rows
        >>> dataset = tf.data.Dataset.from_tensors({"inputs": [3, 9, 1], "label": 2})
        >>> row = next(to_rows(Classification(), dataset, {"inputs": 4}).as_numpy_iterator())
        >>> for name in ("encoder_input_tokens", "labels", "label_weights"):
        ...     print(name, row[name].tolist())
        encoder_input_tokens [3, 9, 1, 0]
        labels [2]
        label_weights [1.0]
    """

    task_features = ("inputs", "label")
    trims = ("inputs",)

    def __init__(self, *, side: str = "encoder"):
        self.packer = packing.Pad()
        self.side = side

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples that fit a row."""
        label = lambda example: {"label": vector(example["label"])}  # noqa: E731
        return fitted(dataset, self.task_features, lengths, label)

    def row_lengths(self, lengths: Lengths) -> Lengths:
        """Returns the length of the inputs and their types, and 1 label."""
        return input_lengths(lengths) | {"label": 1}

    def convert(self, rows: Features) -> Features:
        """Returns the model's features and the label."""
        return side_features(rows, self.side) | labelled(rows["label"], rows["label_segment_ids"])

    num_rows = one_row
    target = label_of
    prediction = most_probable


@part
class TokenClassification:
    """Rows with a label for every token, the task's `labels`: as long as `inputs`, -1 for none.

    Longer inputs are truncated, and their labels too. Args as in `Classification`.
    """

    task_features = ("inputs", "labels")
    trims = task_features

    def __init__(self, *, side: str = "encoder"):
        self.packer = packing.Pad()
        self.side = side

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples that fit a row."""
        width = needed(lengths, ("inputs",))["inputs"]
        examples = with_features(dataset, self.task_features)
        return mapped(
            examples,
            lambda example: cut_inputs(example, width) | {"labels": example["labels"][:width]},
        )

    def row_lengths(self, lengths: Lengths) -> Lengths:
        """Returns the length of the inputs, for their types and labels too."""
        found = input_lengths(lengths)
        return found | {"labels": found["inputs"]}

    def convert(self, rows: Features) -> Features:
        """Returns the model's features and the labels."""
        return side_features(rows, self.side) | labelled(rows["labels"], rows["labels_segment_ids"])

    num_rows = one_row

    def target(self, example: Example, decode: Decode) -> list[int]:
        """Returns the labels of the tokens that have one."""
        del decode
        return [int(label) for label in example["labels"] if label >= 0]

    def prediction(self, example: Example, probabilities: np.ndarray, decode: Decode) -> list[int]:
        """Returns the most probable label of these tokens, -1 for truncated ones.

        Args:
            example: the example.
            probabilities: [T, L].
            decode: not used.
        """
        del decode
        guesses = probabilities.argmax(axis=-1)
        numbers = (i for i, label in enumerate(example["labels"]) if label >= 0)
        return [int(guesses[i]) if i < len(guesses) else -1 for i in numbers]


@part
class Regression:
    """Rows with a number to predict, the task's `score`: float32, a scalar or [1].

    Args as in `Classification`.
    """

    task_features = ("inputs", "score")
    trims = ("inputs",)

    def __init__(self, *, side: str = "encoder"):
        self.packer = packing.Pad()
        self.side = side

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples that fit a row."""
        score = lambda example: {"score": tf.cast(vector(example["score"]), tf.float32)}  # noqa: E731
        return fitted(dataset, self.task_features, lengths, score)

    def row_lengths(self, lengths: Lengths) -> Lengths:
        """Returns the length of the inputs and their types, and 1 score."""
        return input_lengths(lengths) | {"score": 1}

    def convert(self, rows: Features) -> Features:
        """Returns the model's features and the score."""
        return side_features(rows, self.side) | numbers(rows["score"], rows["score_segment_ids"])

    num_rows = one_row

    def target(self, example: Example, decode: Decode) -> float:
        """Returns the score of an example."""
        del decode
        return float(np.ravel(example["score"])[0])

    def prediction(self, example: Example, scores: np.ndarray, decode: Decode) -> float:
        """Returns the predicted score of a row, scores [1]."""
        del example, decode
        return float(scores[0])


def cut_inputs(example: Features, width: int) -> Features:
    """Returns inputs and their types, 0 by default, truncated to a width."""
    inputs = example["inputs"]
    types = example.get("token_types", tf.zeros_like(inputs))
    return {"inputs": inputs[:width], "token_types": types[:width]}


def input_lengths(lengths: Lengths) -> dict[str, int]:
    """Returns the length of the inputs, for their types too."""
    return dict.fromkeys(("inputs", "token_types"), needed(lengths, ("inputs",))["inputs"])


def vector(value: tf.Tensor) -> tf.Tensor:
    """Returns a scalar or a vector's first element as [1]."""
    return tf.reshape(value, [-1])[:1]


def side_features(rows: Features, side: str) -> Features:
    """Returns the features of one side of a model."""
    return {
        f"{side}_input_tokens": rows["inputs"],
        f"{side}_segment_ids": rows["inputs_segment_ids"],
        f"{side}_positions": rows["inputs_positions"],
        f"{side}_token_types": rows["token_types"],
    }


def fitted(
    dataset: tf.data.Dataset,
    task_features: tuple[str, ...],
    lengths: Lengths,
    target: Callable[[Features], Features],
) -> tf.data.Dataset:
    """Returns examples with inputs that fit a row, and with their labels."""
    width = needed(lengths, ("inputs",))["inputs"]
    examples = with_features(dataset, task_features)
    return mapped(examples, lambda example: cut_inputs(example, width) | target(example))


def numbers(labels: tf.Tensor, segments: tf.Tensor) -> Features:
    """Returns float labels, and weights that are 0 in empty rows: float32 [B, N] each."""
    weights = tf.cast(segments > 0, tf.float32)
    return {"labels": tf.cast(labels, tf.float32), "label_weights": weights}


def labelled(labels: tf.Tensor, segments: tf.Tensor) -> Features:
    """Returns labels with 0 for -1, and weights that are 0 without a label: [B, N] each."""
    is_there = tf.logical_and(segments > 0, labels >= 0)
    return {"labels": tf.maximum(labels, 0), "label_weights": tf.cast(is_there, tf.float32)}
