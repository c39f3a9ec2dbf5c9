"""An update that may be skipped, decided in the same compiled step."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from lm.types import Tensor


@contextlib.contextmanager
def conditional_update(
    rule: keras.optimizers.Optimizer,
    *,
    variables: Sequence[Any],
    before: Sequence[Tensor],
    accepted: Sequence[Tensor],
) -> Iterator[None]:
    """Inside the body the rule stores new values only where they are accepted.

    Afterwards every variable has its new value, or the old one bit for bit. A variable that the
    rule assigns is selected at that moment: a moment is final before the weight reads it, and no
    copy of its old value has to live longer. The other variables are selected at the end.

    Args:
        rule: a Keras optimizer, which assigns through its own methods `assign…`.
        variables: what a skipped update leaves unchanged.
        before: their old values.
        accepted: bool scalars, one for each variable.
    """
    pairs = list(zip(before, accepted, strict=True))
    old = {id(v): pair for v, pair in zip(variables, pairs, strict=True)}
    # TensorFlow's optimizers hand the engine's own variables to these methods.
    old |= {id(v.value): pair for v, pair in zip(variables, pairs, strict=True)}
    unassigned = {id(x) for x in before}

    def assign(variable: Any, value: Tensor) -> None:
        previous, is_accepted = old[id(variable)]
        unassigned.discard(id(previous))
        variable.assign(ops.where(is_accepted, ops.cast(value, previous.dtype), previous))

    rule.assign = assign
    rule.assign_add = lambda variable, value: assign(variable, variable + value)
    rule.assign_sub = lambda variable, value: assign(variable, variable - value)
    try:
        yield
    finally:
        for name in ("assign", "assign_add", "assign_sub"):
            delattr(rule, name)
    for variable, (previous, is_accepted) in zip(variables, pairs, strict=True):
        if id(previous) in unassigned:
            variable.assign(ops.where(is_accepted, variable.value, previous))
