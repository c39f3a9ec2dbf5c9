"""Maps functions over datasets."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def mapped(dataset: tf.data.Dataset, function: Callable[..., Any]) -> tf.data.Dataset:
    """Returns the dataset with a function applied to each element, in order, in parallel.

    The function may use only TensorFlow operations: it is traced without AutoGraph, whose rewriting
    of Python control flow takes several times as long.
    """
    plain = tf.autograph.experimental.do_not_convert(function)
    return dataset.map(plain, num_parallel_calls=tf.data.AUTOTUNE)
