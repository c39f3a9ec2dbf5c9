"""The shapes of a model's features, without reading any data."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from lm.data.features import Converter


def row_shapes(
    converter: Callable[..., Converter], lengths: Mapping[str, int]
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Returns name → (shape, type) of one row.

    Args:
        converter: factory of a feature converter.
        lengths: TASK_FEATURE_LENGTHS.
    """
    made = converter()
    spec = {name: tf.TensorSpec([None], tf.int32) for name in made.task_features}
    none = tf.data.Dataset.from_generator(lambda: iter(()), output_signature=spec)
    rows: dict[str, Any] = made(none, lengths).element_spec
    return {name: (tuple(row.shape), row.dtype.name) for name, row in rows.items()}
