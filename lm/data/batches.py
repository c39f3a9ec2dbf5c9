"""Endless batches whose position can be saved: what a trainer sees of its data."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from lm.data import iterator_position
from lm.data.buckets import bucketed
from lm.data.mapping import mapped
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
        length_buckets: widths to which batches of shorter rows are cut; see `lm.data.buckets`.

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
