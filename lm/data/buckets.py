"""Batches of rows of similar length, cut to a common width: less padding, few shapes."""

import itertools
from collections.abc import Sequence

import tensorflow as tf

from lm.data.mapping import mapped
from lm.data.packing import Features
from lm.errors import UserError


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
    _check(widths, full)
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


def _check(widths: Sequence[int], full: int) -> None:
    rises = all(a < b for a, b in itertools.pairwise([0, *widths, full]))
    if not rises:
        raise UserError(
            f"length_buckets = {list(widths)} must rise from above 0 to below {full}, "
            "the width of a row"
        )
