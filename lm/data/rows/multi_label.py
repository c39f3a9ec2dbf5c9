"""The feature converter of multi-label classification."""

import numpy as np
import tensorflow as tf

from lm.data.rows import packing
from lm.data.rows.classification import (
    Decode,
    Example,
    fitted,
    input_lengths,
    numbers,
    side_features,
)
from lm.data.rows.converter import one_row
from lm.data.rows.packing import Features, Lengths
from lm.parts import part
from lm.ranges import PositiveInt, UnitFloat


@part
class MultiLabel:
    """Rows of `lengths["inputs"]` with a 0 or 1 for each label, the task's `label_set` [L].

    Args:
        num_labels: L.
        threshold: a label is predicted where it is more probable than this.
        side: of the model, `encoder` or `decoder`.
    """

    task_features = ("inputs", "label_set")
    trims = ("inputs",)

    def __init__(
        self, *, num_labels: PositiveInt, threshold: UnitFloat = 0.5, side: str = "encoder"
    ):
        self.packer = packing.Pad()
        self.num_labels = num_labels
        self.threshold = threshold
        self.side = side

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples that fit a row."""
        label_set = lambda example: {"label_set": example["label_set"]}  # noqa: E731
        return fitted(dataset, self.task_features, lengths, label_set)

    def row_lengths(self, lengths: Lengths) -> Lengths:
        """Returns the length of the inputs and their types, and the number of labels."""
        return input_lengths(lengths) | {"label_set": self.num_labels}

    def convert(self, rows: Features) -> Features:
        """Returns the model's features and the labels."""
        labels = numbers(rows["label_set"], rows["label_set_segment_ids"])
        return side_features(rows, self.side) | labels

    num_rows = one_row

    def target(self, example: Example, decode: Decode) -> list[int]:
        """Returns the labels of an example."""
        del decode
        return np.flatnonzero(example["label_set"]).tolist()

    def prediction(self, example: Example, probabilities: np.ndarray, decode: Decode) -> list[int]:
        """Returns the labels above the threshold; probabilities [1, L]."""
        del example, decode
        return np.flatnonzero(probabilities[0] > self.threshold).tolist()
