"""Labelled rows with unlabelled ones and their augmented copies, for `lm.objectives.consistency`.

With k = 2 unlabelled texts u, v a row holds five rows of the model:

    encoder_input_tokens  [5, T]   labelled text, u, v, copy of u, copy of v
    labels                [1]      of the first
    step                  []       number of the batch
"""

from collections.abc import Callable

import tensorflow as tf

from lm.data.batching.batches import Batches
from lm.data.batching.pipeline import Pipeline
from lm.data.mapping import mapped
from lm.data.rows import packing
from lm.data.rows.classification import cut_inputs, input_lengths, side_features
from lm.data.rows.converter import one_row
from lm.data.rows.features import needed, with_features
from lm.data.rows.packing import Features, Lengths
from lm.parts import part
from lm.ranges import NonNegativeInt, PositiveInt

AUGMENTED = "augmented"
AUGMENTED_TYPES = "augmented_token_types"


@part
class AugmentedPairs:
    """Pairs of rows of `lengths["inputs"]`: a text (`inputs`) and its augmented copy (`augmented`).

    The model's features are [2, T]. Longer texts are truncated.

    Args:
        side: of the model, `encoder` or `decoder`.
    """

    task_features = ("inputs", AUGMENTED, AUGMENTED_TYPES)
    trims = ("inputs", AUGMENTED)

    def __init__(self, *, side: str = "encoder"):
        self.packer = packing.Pad()
        self.side = side

    def prepare(self, dataset: tf.data.Dataset, lengths: Lengths) -> tf.data.Dataset:
        """Returns examples that fit their rows."""
        width = needed(lengths, ("inputs",))["inputs"]

        def prepared(example: Features) -> Features:
            copy = cut_inputs(as_inputs(example), width)
            return cut_inputs(example, width) | {
                AUGMENTED: copy["inputs"],
                AUGMENTED_TYPES: copy["token_types"],
            }

        return mapped(with_features(dataset, self.task_features), prepared)

    def row_lengths(self, lengths: Lengths) -> Lengths:
        """Returns the length of the inputs, for the copy and all types too."""
        found = input_lengths(lengths)
        return {**found, AUGMENTED: found["inputs"], AUGMENTED_TYPES: found["inputs"]}

    def convert(self, rows: Features) -> Features:
        """Returns the model's features, [B, 2, T]."""
        text, copy = (side_features(x, self.side) for x in (rows, as_inputs(rows)))
        return {name: tf.stack([text[name], copy[name]], axis=1) for name in text}

    num_rows = one_row


def as_inputs(features: Features) -> Features:
    """Returns the copy under the names of the inputs."""
    renamed = {name: name.replace(AUGMENTED, "inputs") for name in features if AUGMENTED in name}
    renamed[AUGMENTED_TYPES] = "token_types"
    return {new: features[old] for old, new in renamed.items()}


@part
class LabelledAndUnlabelled(Batches):
    """Batches of a labelled text and k pairs of unlabelled ones per row.

    Args:
        labelled: factory of the labelled rows, `pipeline.Pipeline`; sets the batch size.
        unlabelled: factory of a pipeline of `AugmentedPairs`.
        unlabelled_per_labelled: k (paper: 3 to 7).
        prefetch: number of batches to prepare in advance.
        process_index: index of this process; see `Batches`.
        process_count: number of processes.

    Attributes:
        vocabulary_sizes, label_names: as in `pipeline.Pipeline`.

    Example (gin):
        semi_supervised.LabelledAndUnlabelled.labelled = @pipeline.Pipeline
        semi_supervised.LabelledAndUnlabelled.unlabelled = @unlabelled/pipeline.Pipeline
    """

    def __init__(
        self,
        *,
        labelled: Callable[[], Pipeline],
        unlabelled: Callable[[], Pipeline],
        unlabelled_per_labelled: PositiveInt,
        prefetch: NonNegativeInt = 4,
        process_index: int = 0,
        process_count: int = 1,
    ):
        first, others = labelled(), unlabelled()
        batch_size = first.fingerprint()["batch_size"]
        self.label_names = first.label_names
        self.vocabulary_sizes = {**first.vocabulary_sizes, **others.vocabulary_sizes}
        groups = others.rows.batch(unlabelled_per_labelled, drop_remainder=True)
        rows = tf.data.Dataset.zip(first.rows, groups).enumerate()
        super().__init__(
            rows=mapped(rows, lambda number, pair: joined(pair[0], pair[1], number // batch_size)),
            fingerprint={
                **first.fingerprint(),
                "unlabelled": others.fingerprint(),
                "unlabelled_per_labelled": unlabelled_per_labelled,
            },
            batch_size=batch_size,
            prefetch=prefetch,
            process_index=process_index,
            process_count=process_count,
        )


def joined(labelled: Features, unlabelled: Features, step: tf.Tensor) -> Features:
    """Joins a labelled row and k pairs [k, 2, T]."""
    rows = {
        name: tf.concat([labelled[name][None], pairs[:, 0], pairs[:, 1]], axis=0)  # [1 + 2k, T]
        for name, pairs in unlabelled.items()
    }
    return {**labelled, **rows, "step": tf.cast(step, tf.int32)}
