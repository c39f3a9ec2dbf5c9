"""An update that may be refused, decided in the pass that computes it."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops


@contextlib.contextmanager
def guard(
    rule: keras.optimizers.Optimizer,
    *,
    variables: Sequence[Any],
    before: Sequence[Any],
    accepted: Any,
) -> Iterator[None]:
    """While the body runs the rule stores new values only where the update is accepted.

    Afterwards every variable holds its new value, or the old one bit for bit. What the rule
    assigns is selected as it is assigned: a moment is then final before the weight reads it, and
    no copy of its old value has to outlive that. The rest is selected at the end.

    Args:
        rule: a Keras optimizer, which assigns through its own methods `assign…`.
        variables: what a refused update leaves alone.
        before: their values to go back to.
        accepted: bool scalar.
    """
    old = {id(v): x for v, x in zip(variables, before, strict=True)}
    # TensorFlow's optimizers hand the engine's own variables to these methods.
    old |= {id(v.value): x for v, x in zip(variables, before, strict=True)}
    left = {id(x) for x in before}

    def assign(variable: Any, value: Any) -> None:
        kept = old[id(variable)]
        left.discard(id(kept))
        variable.assign(ops.where(accepted, ops.cast(value, kept.dtype), kept))

    rule.assign = assign
    rule.assign_add = lambda variable, value: assign(variable, variable + value)
    rule.assign_sub = lambda variable, value: assign(variable, variable - value)
    try:
        yield
    finally:
        for name in ("assign", "assign_add", "assign_sub"):
            delattr(rule, name)
    for variable, kept in zip(variables, before, strict=True):
        if id(kept) in left:
            variable.assign(ops.where(accepted, variable.value, kept))
