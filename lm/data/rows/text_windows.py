"""Overlapping windows of a text that is too long for one row with its question.

With rows of 7 and a stride of 2, `inputs` and its windows:

    inputs       [CLS] q [SEP] a b c d e [SEP]    start 5, end 6 (c d)
    window 0     [CLS] q [SEP] a b c     [SEP]    start 0, end 0
    window 1     [CLS] q [SEP] c d e     [SEP]    start 3, end 4

Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805), its release: `doc_stride`.
"""

from typing import NamedTuple

import tensorflow as tf

from lm.data.rows.packing import Features


class Windows(NamedTuple):
    """Positions of the windows, int32.

    Attributes:
        prefix: P, the number of tokens before the text.
        starts: [W], start of each window's part of the text, relative to the text.
        ends: [W], its end.
    """

    prefix: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor


def windows(types: tf.Tensor, width: int, stride: int) -> Windows:
    """Returns the windows of a row; one window if it fits.

    Args:
        types: token types; the text is the tokens with the type of the last one, or all but [CLS]
            if there is only one type.
        width: of a window, in tokens.
        stride: from the start of a window to that of the next; reduced if the windows would leave
            tokens out.

    Example:
        >>> found = windows(tf.constant([0, 0, 0, 1, 1, 1, 1, 1, 1]), 7, 2)
        >>> int(found.prefix), found.starts.numpy().tolist(), found.ends.numpy().tolist()
        (3, [0, 2], [3, 5])
    """
    prefix = 1 + tf.math.count_nonzero(types[1:] != types[-1], dtype=tf.int32)
    size = tf.size(types) - prefix - 1  # without [SEP]
    capacity = tf.maximum(width - prefix - 1, 1)
    step = tf.minimum(stride, capacity)
    starts = tf.range(0, tf.maximum(size - capacity, 0) + step, step)
    return Windows(prefix, starts, tf.minimum(starts + capacity, size))


def split(example: Features, found: Windows) -> Features:
    """Returns `inputs` and `token_types` of every window, ragged [W, (T)], and `span` [W, 2].

    A window that does not contain the whole span has the span (0, 0).

    Args:
        example: `inputs` and `token_types`, [N] each, and `span` [2].
        found: its windows.
    """
    prefix, starts, ends = found
    count, last = tf.size(starts), tf.size(example["inputs"]) - 1
    before = tf.tile(tf.range(prefix)[None], [count, 1])  # [W, P]
    text = tf.ragged.range(prefix + starts, prefix + ends)  # [W, (C)]
    index = tf.concat([before, text, tf.fill([count, 1], last)], 1)
    rows = {name: tf.gather(example[name], index) for name in ("inputs", "token_types")}
    span = example["span"] - starts[:, None]
    holds = (span[:, 0] >= prefix) & (span[:, 1] < prefix + ends - starts)
    return rows | {"span": tf.where(holds[:, None], span, 0)}
