"""Noise that a row draws by its own key, so that its text depends on no other row.

Keras' random functions draw one block for a whole batch, from a generator that differs by engine.
Here every number is a hash of (key of the row, step, place): the same seed gives the same text in
any batch, on any engine.
"""

from typing import Any

import numpy as np
from keras import ops

_ROTATIONS = np.array([[13, 15, 26, 6], [17, 29, 16, 24]], "uint32")
_PARITY = 0x1BD11BDA


def threefry(key: tuple[Any, Any], counter: tuple[Any, Any]) -> tuple[Any, Any]:
    """Returns two words of 32 random bits for every counter: Threefry-2x32 with 20 rounds.

    Args:
        key: two uint32 tensors.
        counter: two uint32 tensors; shapes broadcast against the key's.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".

    Example:
        >>> zero = ops.zeros((), "uint32")
        >>> [hex(int(word)) for word in threefry((zero, zero), (zero, zero))]
        ['0x6b200159', '0x99ba4efe']
    """
    keys = ops.stack([*key, ops.bitwise_xor(ops.bitwise_xor(*key), word(_PARITY))])
    rotations = ops.convert_to_tensor(_ROTATIONS)

    def four_rounds(group: Any, words: tuple[Any, Any]) -> tuple[Any, Any]:
        x, y = words
        by = ops.take(rotations, group % 2, axis=0)
        for i in range(4):
            x = x + y
            y = ops.bitwise_xor(rotated(y, by[i]), x)
        x = x + ops.take(keys, (group + 1) % 3, axis=0)
        y = y + ops.take(keys, (group + 2) % 3, axis=0) + word(group + 1)
        return x, y

    # A loop, because XLA compiles 20 rounds in a row for minutes once they are fused: every round
    # uses both words twice.
    return ops.fori_loop(0, 5, four_rounds, (counter[0] + key[0], counter[1] + key[1]))


def row_keys(seed: Any, rows: Any, samples: int) -> Any:
    """Returns a key for each of `samples` texts of every row, int32 [B * samples, 2].

    Args:
        seed: int32 scalar.
        rows: int32 [B], number of each example in the whole input, whatever its batch.
        samples: texts drawn for a row.
    """
    row, sample = word(rows)[:, None], word(ops.arange(samples, dtype="int32"))[None]
    first, second = threefry((word(seed), word(0)), (row + 0 * sample, sample + 0 * row))
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
    bits, _ = threefry((word(keys[:, :1]), word(keys[:, 1:])), (places, word(step) + 0 * places))
    # The upper 23 bits and a half: strictly between 0 and 1 in float32.
    high = ops.cast(ops.right_shift(bits, word(9)), "float32")
    return -ops.log(-ops.log((high + 0.5) * 2.0**-23))


def rotated(x: Any, by: int) -> Any:
    """Rotates the 32 bits of every word to the left."""
    return ops.bitwise_or(ops.left_shift(x, by), ops.right_shift(x, word(32) - by))


def word(value: Any) -> Any:
    """Returns integers as uint32."""
    return ops.cast(value, "uint32")
