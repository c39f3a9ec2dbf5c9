"""Endless batches with a position that can be saved, as the trainer uses them.

Optionally rows of similar length are batched and cut to a common width: length buckets.
"""

import itertools
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from lm.data.batching import iterator_position
from lm.data.mapping import mapped
from lm.data.rows.packing import Features
from lm.errors import UserError
from lm.types import Batch


class Batches:
    """An endless iterator of batches of one fixed shape, or of one for each length bucket.

    Subclasses only define the rows, in their constructors.

    Args:
        rows: endless rows of fixed shape, made by operations whose iterators can be saved.
        fingerprint: everything that determines the rows, as plain JSON values.
        batch_size: rows of the global batch.
        prefetch: number of batches to prepare in advance.
        process_index: index of this process.
        process_count: number of processes; each makes the same global batches and takes an equal
            fraction of the rows, so that positions are valid for any number of processes.
        length_buckets: widths to which batches of shorter rows are cut; see `bucketed`.

    Attributes:
        rows: the argument.
        features: shapes and dtypes of the widest batch, as a dict of `tf.TensorSpec`.
        wait_seconds: time that the consumer has waited for batches.

    Raises:
        UserError: the rows cannot be divided equally among the processes.
    """

    def __init__(
        self,
        *,
        rows: tf.data.Dataset,
        fingerprint: Mapping[str, Any],
        batch_size: int,
        prefetch: int,
        process_index: int,
        process_count: int,
        length_buckets: Sequence[int] = (),
    ):
        if batch_size % process_count:
            raise UserError(
                f"BATCH_SIZE = {batch_size} is not divisible by {process_count} processes"
            )
        share = batch_size // process_count
        start = share * process_index
        batches = mapped(
            bucketed(rows, batch_size, length_buckets)
            if length_buckets
            else rows.batch(batch_size, drop_remainder=True),
            lambda batch: {name: x[start : start + share] for name, x in batch.items()},
        )
        self.features = {
            name: tf.TensorSpec([share, *row.shape], row.dtype)
            for name, row in rows.element_spec.items()
        }
        self.rows = rows
        self.wait_seconds = 0.0
        self._fingerprint = {**fingerprint, "batch_size": batch_size}
        if length_buckets:
            self._fingerprint["length_buckets"] = list(length_buckets)
        self._iterator = iter(batches.prefetch(prefetch))

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        start = time.perf_counter()
        tensors = next(self._iterator)
        self.wait_seconds += time.perf_counter() - start
        return {name: tensor.numpy() for name, tensor in tensors.items()}

    def fingerprint(self) -> dict[str, Any]:
        """Returns everything that determines the batches: files, tokenizers, lengths, seed."""
        return dict(self._fingerprint)

    def state(self) -> bytes:
        """Returns the position, for `restore` in this or another process.

        Raises:
            UserError: an operation of the task's preprocessors cannot be saved.
        """
        return iterator_position.save(self._iterator, self._fingerprint)

    def restore(self, state: bytes, *, allow_changes: Collection[str] = ()) -> None:
        """Restores a saved position: the next batch is the one that followed `state()`.

        Args:
            state: the result of `state`.
            allow_changes: names in the fingerprint that may differ.

        Raises:
            UserError: listing the changes, with old and new value.
        """
        iterator_position.restore(
            self._iterator, state, self._fingerprint, allow_changes=allow_changes
        )


def bucketed(rows: tf.data.Dataset, batch_size: int, widths: Sequence[int]) -> tf.data.Dataset:
    """Returns batches of rows of similar length, cut to a common width.

    Every row goes to the narrowest width that holds its segments; a batch is emitted once its width
    has enough rows. Rows are neither dropped nor repeated, and lose only padding. Each width is one
    more shape for which a step is compiled.

    Args:
        rows: endless padded rows with `…_segment_ids`.
        batch_size: rows of a batch.
        widths: in increasing order; the full width of the rows is added.

    Raises:
        UserError: the widths are not increasing, or not below the width of the rows.
    """
    sides = [name for name in rows.element_spec if name.endswith("_segment_ids")]
    full = max(rows.element_spec[name].shape[0] for name in sides)
    _check_widths(widths, full)
    edges = tf.constant([*widths, full], tf.int64)

    def bucket(row: Features) -> tf.Tensor:
        used = [tf.math.count_nonzero(row[name]) for name in sides]
        return tf.searchsorted(edges, tf.reduce_max(used)[None], out_type=tf.int64)[0]

    def cut(key: tf.Tensor, group: tf.data.Dataset) -> tf.data.Dataset:
        width = edges[key]
        return mapped(
            group.batch(batch_size, drop_remainder=True),
            lambda batch: {
                name: x[:, :width] if x.shape.rank > 1 else x for name, x in batch.items()
            },
        )

    plain = tf.autograph.experimental.do_not_convert
    return rows.group_by_window(plain(bucket), plain(cut), window_size=batch_size)


def _check_widths(widths: Sequence[int], full: int) -> None:
    rises = all(a < b for a, b in itertools.pairwise([0, *widths, full]))
    if not rises:
        raise UserError(
            f"length_buckets = {list(widths)} must be increasing, above 0 and below {full}, the "
            "width of a row"
        )
