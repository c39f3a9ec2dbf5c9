"""Endless batches whose position can be saved: what a trainer sees of its data.

A batch may hold rows of similar length, cut to a common width: less padding, few shapes.
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

    A subclass says in its constructor what the rows are, and nothing else.

    Args:
        rows: rows of fixed shape without end, made by operations that can be saved.
        fingerprint: all that decides the rows, as plain JSON values.
        batch_size: rows of the global batch.
        prefetch: number of batches made ahead.
        process_index: which process this is, of `process_count`.
        process_count: number of processes; each makes the same global batches and takes an equal
            share of the rows, so a position holds for any number of processes.
        length_buckets: widths to which batches of shorter rows are cut; see `bucketed`.

    Attributes:
        rows: the argument.
        features: shapes and types of a batch, the widest there is, as a dict of `tf.TensorSpec`.
        wait_seconds: time that the consumer has waited for batches.

    Raises:
        UserError: if the rows cannot be shared equally.
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
            raise UserError(f"BATCH_SIZE = {batch_size} cannot be shared by {process_count}")
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
        """Returns all that decides the batches: files, tokenizers, lengths, seed and the like."""
        return dict(self._fingerprint)

    def state(self) -> bytes:
        """Returns the position, to be restored in this or another process.

        Raises:
            UserError: if an operation of the task's preprocessors cannot be saved.
        """
        return iterator_position.save(self._iterator, self._fingerprint)

    def restore(self, state: bytes, *, allow_changes: Collection[str] = ()) -> None:
        """Goes to a saved position: the next batch is the one that followed `state()`.

        Args:
            state: what `state` returned.
            allow_changes: names in the fingerprint that may differ.

        Raises:
            UserError: naming what changed, with old and new value.
        """
        iterator_position.restore(
            self._iterator, state, self._fingerprint, allow_changes=allow_changes
        )


def bucketed(rows: tf.data.Dataset, batch_size: int, widths: Sequence[int]) -> tf.data.Dataset:
    """Returns batches whose rows fit the same width, and are cut to it.

    Every row goes to the narrowest width that holds all of its segments; a batch leaves as soon as
    its width has enough rows. No row is dropped, repeated or changed but for its padding. Each
    width is one more shape for which a step is compiled.

    Args:
        rows: padded rows without end, with `…_segment_ids`.
        batch_size: rows of a batch.
        widths: rising; the full width of the rows is always one more.

    Raises:
        UserError: the widths do not rise, or do not lie below the width of the rows.
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
            f"length_buckets = {list(widths)} must rise from above 0 to below {full}, "
            "the width of a row"
        )
