"""Recurrences over the length: linear ones in parallel, others as a loop."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
from keras import ops
from keras.src.backend import rnn

from lm.nn.branch import State
from lm.types import Tensor, Tree


class Flow(NamedTuple):
    """Where a state is reset and where it is held.

    Attributes:
        resets: bool [B, T, 1], True where the previous state is replaced by zeros.
        holds: bool [B, T, 1], True where the state is not updated: padding.
        cuts: bool [B, T, 1], True where no gradient passes through the previous state;
            `()` if there is none.
    """

    resets: Tensor
    holds: Tensor
    cuts: Tensor = ()


def linear_scan(decay: Tensor, new: Tensor, initial: Tensor) -> Tensor:
    """Returns h with `h_t = decay_t ⊙ h_{t-1} + new_t`, [B, T, D], in about 2 log₂ T products.

    A decay of 0 resets h, a decay of 1 with a `new` of 0 holds it, both exactly.

    Args:
        decay: [B, T, D].
        new: [B, T, D].
        initial: h before the first position, [B, D].

    Example:
        >>> decay, new = ops.array([[[0.5], [0.5], [0.0]]]), ops.ones((1, 3, 1))
        >>> print(np.asarray(linear_scan(decay, new, ops.array([[4.0]])))[0, :, 0])
        [3.  2.5 1. ]

    Source: Blelloch 1990, "Prefix sums and their applications", section 1.4.
    """
    first = new[:, :1] + decay[:, :1] * initial[:, None]
    return _from_zero(decay, ops.concatenate([first, new[:, 1:]], axis=1))


def _from_zero(decay: Tensor, new: Tensor) -> Tensor:
    """Returns h, starting from 0."""
    count = new.shape[1]
    if count == 1:
        return new
    even = count - count % 2
    # Combine pairs of steps: decay'' decay' h + decay'' new' + new''. That gives h_2, h_4, …
    decay_left, decay_right = decay[:, 0:even:2], decay[:, 1:even:2]
    new_left, new_right = new[:, 0:even:2], new[:, 1:even:2]
    right = _from_zero(decay_right * decay_left, decay_right * new_left + new_right)
    # From 0 and each of these, one step gives h_1, h_3, h_5, …
    left, odd = new[:, :1], (count - 1) // 2
    if odd:  # TensorFlow's XLA gets the gradient of an empty slice with a stride wrong
        after = decay[:, 2::2] * right[:, :odd] + new[:, 2::2]
        left = ops.concatenate([left, after], axis=1)  # [B, (T + 1) // 2, D]
    pairs = ops.stack([left[:, : even // 2], right], axis=2)  # [B, T // 2, 2, D]
    h = ops.reshape(pairs, (-1, even, new.shape[2]))
    return ops.concatenate([h, left[:, even // 2 :]], axis=1)


def loop(
    step: Callable[[Tree, State], State], inputs: Tree, initial: State
) -> tuple[Tensor, State]:
    """Applies a step at each position in turn, compiled once for any length.

    On TensorFlow `keras.ops.scan` has no gradient under XLA, since its loop is unbounded; this uses
    the loop of Keras' recurrent layers.

    Args:
        step: `(inputs of a position, state) -> state`, a named tuple, output first.
        inputs: a tree of [B, T, ...].
        initial: the state before the first position.

    Returns:
        The first field of the state after each position, [B, T, ...], and the last state.
    """

    def one(now: Tree, before: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        after = keras.tree.flatten(step(now, keras.tree.pack_sequence_as(initial, list(before))))
        return after[0], after

    length = keras.tree.flatten(inputs)[0].shape[1]
    _, outputs, last = rnn(one, inputs, keras.tree.flatten(initial), input_length=length)
    return outputs, keras.tree.pack_sequence_as(initial, list(last))
