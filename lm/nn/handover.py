"""Handover: a recurrent decoder starts from the final states of its encoder.

The encoder's states start at zero, and padding holds them, so that after the row they are the
states after its last token. The decoder's layers start from them instead of zeros.
"""

from typing import TypeVar

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import State
from lm.nn.stack import Stack
from lm.nn.stack_state import Rows, StackCarry, StackState
from lm.parts import part
from lm.types import Tensor

Begun = TypeVar("Begun", StackCarry, StackState)


def before_row(stack: Stack, x: Tensor, rows: Rows) -> StackCarry:
    """Returns the zero states of a stack before it reads x, [B, T, D]."""
    if not stack.built:
        stack(x, rows)  # layers know the width of their states once they have their variables
    residuals = tuple(r.initial_state(*x.shape[:2]) for r in stack.residuals)
    return StackCarry(ops.zeros((x.shape[0],), "int32"), residuals)


@part
def last_state(last: State, initial: State) -> State:
    """Returns the decoder's initial states, copied from the encoder layer by layer.

    Args:
        last: states of the encoder's layers after the row.
        initial: default initial states of the decoder's layers; layers without states are skipped.

    Raises:
        LayerError: if encoder and decoder do not keep the same tensors.

    Source: Sutskever et al. 2014 (https://arxiv.org/abs/1409.3215), section 2.
    """
    given, taken = keras.tree.flatten(last), keras.tree.flatten(initial)
    found, expected = ([tuple(x.shape[1:]) for x in states] for states in (given, taken))
    if found != expected or not expected:
        raise LayerError(
            f"the encoder ends with states of {found}, the decoder starts from {expected}: both "
            "need the same number of recurrent layers, with the same cell and width"
        )
    return keras.tree.pack_sequence_as(initial, given)


def nan_if_packed(x: Tensor, segments: Tensor) -> Tensor:
    """Returns x [B, T, D], NaN in rows with several examples, which cannot share a state.

    Args:
        x: outputs of the decoder.
        segments: int32 [B, T], or None where no row is packed.
    """
    if segments is None:
        return x
    is_packed = ops.max(segments, axis=1) > 1  # [B]
    return ops.where(is_packed[:, None, None], ops.cast(float("nan"), x.dtype), x)
