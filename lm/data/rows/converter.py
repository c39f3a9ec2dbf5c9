"""From task examples to rows of a model's features, by the feature converter that gin names."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import tensorflow as tf

from lm.data.mapping import mapped
from lm.data.rows import packing
from lm.data.rows.packing import Features, Lengths, Packer
from lm.errors import UserError

OPTIONAL_FEATURES = ("loss_weights", "token_types")
"""Features that a converter passes on if a task has them."""


class Converter(Protocol):
    """A feature converter: how examples are fitted to rows, packed and named.

    Attributes:
        task_features: the features that it needs.
        trims: those that it truncates to their length.
        packer: puts examples into rows.
    """

    task_features: tuple[str, ...]
    trims: tuple[str, ...]
    packer: Packer

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples that fit their rows; after this step they may still be shuffled."""

    def row_lengths(self, lengths: Lengths) -> Lengths:
        """Returns the length in a row of each feature of the prepared examples."""

    def convert(self, rows: Features) -> Features:
        """Returns the model's features of packed rows."""

    def num_rows(self, example: Mapping[str, Any], lengths: Lengths) -> int:
        """Returns the number of rows of an example, if rows are not packed."""


@runtime_checkable
class RowShapes(Protocol):
    """A converter whose rows are not made by a tf.data pipeline: it gives their shapes itself."""

    def row_shapes(self, lengths: Lengths) -> dict[str, tuple[tuple[int, ...], str]]:
        """Returns name → (shape, type) of one row."""


def to_rows(converter: Converter, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
    """Returns rows of the model's features from task examples.

    Args:
        converter: a feature converter.
        dataset: examples with the converter's `task_features`.
        lengths: TASK_FEATURE_LENGTHS.

    Raises:
        UserError: a feature or its length is missing.
    """
    return pack_rows(converter, converter.prepare(dataset, lengths), lengths)


def pack_rows(converter: Converter, prepared: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
    """Returns rows of the model's features from prepared examples."""
    groups = packing.row_groups(prepared, converter.row_lengths(lengths), converter.packer)
    return mapped(groups, converter.convert).unbatch()


def row_shapes(
    factory: Callable[[], Converter], lengths: Lengths
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Returns name → (shape, type) of one row, without reading any data."""
    converter = factory()
    if isinstance(converter, RowShapes):
        return converter.row_shapes(lengths)
    spec = {name: tf.TensorSpec([None], tf.int32) for name in converter.task_features}
    none = tf.data.Dataset.from_generator(lambda: iter(()), output_signature=spec)
    rows: dict[str, Any] = to_rows(converter, none, lengths).element_spec
    return {name: (tuple(row.shape), row.dtype.name) for name, row in rows.items()}


def one_row(converter: Any, example: Mapping[str, Any], lengths: Lengths) -> int:
    """Returns 1: the `num_rows` of a converter with one row per example."""
    del converter, example, lengths
    return 1


def num_rows(converter: Converter, example: Mapping[str, Any], lengths: Lengths) -> int:
    """Returns the number of rows of an example.

    Raises:
        UserError: rows are packed.
    """
    if not isinstance(converter.packer, packing.Pad):
        raise UserError("rows are packed and belong to no single example; set pack = None")
    return converter.num_rows(example, lengths)
