"""Random numbers as hashes of a seed and an index: cheap, and the same on every engine.

Keras' random functions differ by engine, and with TensorFlow under XLA each number takes about
300 ns on a CPU, so that a router's jitter would cost more than its experts. These take a few ns.
"""

import math

import keras
import numpy as np
from keras import ops

from lm.types import Shape, Tensor

_ROTATIONS = np.array([[13, 15, 26, 6], [17, 29, 16, 24]], "uint32")
_PARITY = 0x1BD11BDA


def uniform(shape: Shape, seed: keras.random.SeedGenerator) -> Tensor:
    """Returns numbers of U(0, 1), float32, excluding 0 and 1.

    Args:
        shape: of the result, at least one axis.
        seed: a `keras.random.SeedGenerator`, advanced by one draw.
    """
    return hashed(shape, word(seed.next()), ops.arange(shape[0], dtype="int32"))


def hashed(shape: Shape, key: Tensor, rows: Tensor) -> Tensor:
    """Returns the same as `uniform`, from a key and a number for each row.

    Args:
        shape: of the result, one axis at least.
        key: uint32 [2].
        rows: int32 [shape[0]].
    """
    column = word(ops.arange(math.prod(shape[1:]), dtype="int32"))[None]
    bits, _ = threefry((key[0], key[1]), (word(rows)[:, None], column))
    return ops.reshape(between_0_and_1(bits), shape)


def normal(shape: Shape, seed: keras.random.SeedGenerator) -> Tensor:
    """Returns numbers of N(0, 1); arguments as of `uniform`."""
    return standard_normal(uniform(shape, seed))


def standard_normal(u: Tensor) -> Tensor:
    """Returns `√2 erfinv(2u - 1)` of uniform u: it follows N(0, 1)."""
    return math.sqrt(2) * ops.erfinv(2 * u - 1)


def gumbel(u: Tensor) -> Tensor:
    """Returns `-log(-log u)` of uniform u: argmax(logits + gumbel) follows softmax(logits)."""
    return -ops.log(-ops.log(u))


def threefry(key: tuple[Tensor, Tensor], counter: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
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
    # A loop, because XLA takes minutes to compile 20 fused rounds: every round uses both words
    # twice. The body has no closure, so that JAX compiles it once.
    x, y = counter[0] + key[0], counter[1] + key[1]
    start = (x + 0 * y, y + 0 * x, keys)  # broadcast both to the final shape
    return ops.fori_loop(0, 5, four_rounds, start)[:2]


def four_rounds(
    group: Tensor, words: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns words and keys after four rounds of `threefry` and the injection of a key."""
    x, y, keys = words
    by = ops.take(ops.convert_to_tensor(_ROTATIONS), group % 2, axis=0)
    for i in range(4):
        x = x + y
        y = ops.bitwise_xor(rotated(y, by[i]), x)
    x = x + ops.take(keys, (group + 1) % 3, axis=0)
    y = y + ops.take(keys, (group + 2) % 3, axis=0) + word(group + 1)
    return x, y, keys


def between_0_and_1(bits: Tensor) -> Tensor:
    """Returns uint32 bits as float32 strictly between 0 and 1: their upper 23 and a half."""
    high = ops.cast(ops.right_shift(bits, word(9)), "float32")
    return (high + 0.5) * 2.0**-23


def rotated(x: Tensor, by: int) -> Tensor:
    """Rotates the 32 bits of every word to the left."""
    return ops.bitwise_or(ops.left_shift(x, by), ops.right_shift(x, word(32) - by))


def word(value: Tensor) -> Tensor:
    """Returns integers as uint32."""
    return ops.cast(value, "uint32")
