"""Small data sets for the tests of lm.data."""

import numpy as np
import seqio
import tensorflow as tf

from lm.data.storage import sources
from lm.data.vocabulary import byte_vocabulary


def ragged(values, dtype=tf.int32):
    """A ragged batch of vectors, also of empty ones."""
    flat = tf.constant([item for vector in values for item in vector], dtype)
    return tf.RaggedTensor.from_row_lengths(flat, [len(vector) for vector in values])


def dataset_of(examples, dtype=tf.int32):
    """A dataset of examples given as dicts of lists."""
    return tf.data.Dataset.from_tensor_slices(
        {name: ragged([example[name] for example in examples], dtype) for name in examples[0]}
    )


def rows_of(dataset):
    """All rows of a dataset of batches or groups, one array per feature."""
    parts = list(dataset.as_numpy_iterator())
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def numbered(count):
    """Examples whose content tells their number and differs in length."""
    return [{"inputs": f"in {n}", "targets": f"{n:04d}" + "x" * (n % 7)} for n in range(count)]


def task(name, splits, features=("inputs", "targets"), preprocessors=()):
    """Registers a task of examples made in Python, under a name that no other test uses.

    Args:
        name: of the task.
        splits: list of examples by split.
        features: the features to tokenize.
        preprocessors: further ones, after EOS was added.
    """
    made = {split: (lambda examples=examples: examples) for split, examples in splits.items()}
    seqio.TaskRegistry.remove(name)
    return seqio.TaskRegistry.add(
        name,
        source=sources.examples_source(name, made, fingerprint=lambda: {"splits": splits}),
        preprocessors=[
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            seqio.preprocessors.append_eos,
            *preprocessors,
        ],
        output_features=dict.fromkeys(features, seqio.Feature(byte_vocabulary())),
    )


def text(tokens):
    """The text of byte tokens."""
    return byte_vocabulary().decode([int(token) for token in tokens])
