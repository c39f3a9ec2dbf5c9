"""Noise that a row draws by its own key, so that its text depends on no other row.

Keras' random functions draw one block for a whole batch, from a generator that differs by engine.
Here every number is a hash of (key of the row, step, place): the same seed gives the same text in
any batch, on any engine.
"""

from typing import Any

from keras import ops

from lm.nn.random import between_0_and_1, threefry, word


def row_keys(seed: Any, rows: Any, samples: int) -> Any:
    """Returns a key for each of `samples` texts of every row, int32 [B * samples, 2].

    Args:
        seed: int32 scalar.
        rows: int32 [B], number of each example in the whole input, whatever its batch.
        samples: texts drawn for a row.
    """
    row, sample = word(rows)[:, None], word(ops.arange(samples, dtype="int32"))[None]
    first, second = threefry((word(seed), word(0)), (row, sample))
    keys = ops.stack([ops.reshape(first, (-1,)), ops.reshape(second, (-1,))], axis=1)
    return ops.cast(keys, "int32")


def gumbel(keys: Any, step: Any, count: int) -> Any:
    """Returns standard Gumbel noise, float32 [B, count], `-log(-log u)` with u uniform.

    Args:
        keys: int32 [B, 2] of `row_keys`.
        step: int32 scalar, new at every draw.
        count: numbers per row.
    """
    places = word(ops.arange(count, dtype="int32"))[None]
    bits, _ = threefry((word(keys[:, :1]), word(keys[:, 1:])), (places, word(step)))
    return -ops.log(-ops.log(between_0_and_1(bits)))
