"""The residual around a branch: the order of norms and dropout is data, not an `if`."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from lm.nn.branch import Branch, Context, Factory, State, chain, make, make_all
from lm.nn.reports import Report, collect, report_again
from lm.parts import part


@part
class Residual(Branch):
    """`after_add(x + after(branch(before(x))))`.

    Pre-norm is `before = [norm]`, post-norm `after_add = [norm]`, sandwich norm `before` and
    `after`.

    Args:
        branch: factory of the branch.
        before, after, after_add: factories of layers, applied in order.

    Source: He et al. 2016 (https://arxiv.org/abs/1512.03385); Xiong et al. 2020
    (https://arxiv.org/abs/2002.04745) compare the two orders of the norm.
    """

    def __init__(
        self,
        *,
        branch: Factory,
        before: Sequence[Factory] = (),
        after: Sequence[Factory] = (),
        after_add: Sequence[Factory] = (),
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.branch = make(branch)
        self.before = make_all(before, "before")
        self.after = make_all(after, "after")
        self.after_add = make_all(after_add, "close")

    def call(self, x: Any, context: Context, state: State = None) -> tuple[Any, State]:
        y, state = self.branch(chain(self.before, x), context, state=state)
        return chain(self.after_add, x + chain(self.after, y)), state

    def initial_state(self, batch: int, length: int) -> State:
        return self.branch.initial_state(batch, length)

    def initial_carry(self, batch: int) -> State:
        return self.branch.initial_carry(batch)


@part
class Remat(Branch):
    """Computes its branch again in the backward pass instead of keeping what it computed.

    Args:
        branch: factory of a branch or residual.

    Source: Chen et al. 2016 (https://arxiv.org/abs/1604.06174).
    """

    def __init__(self, *, branch: Factory, name: str | None = None) -> None:
        super().__init__(name=name)
        self.branch = make(branch)

    def call(
        self, x: Any, context: Context, state: State = None, training: Any = None
    ) -> tuple[Any, State]:
        if context.index is not None or not self.branch.built:
            return self.branch(x, context, state=state)
        # The second run happens outside this call and must see what the first saw: the same
        # weights, training phase and random state. So weights enter as arguments, through which
        # gradients flow, and integers (masks, seeds) by closure: TensorFlow adds to arguments.
        variables = self.branch.variables
        given = (context, state)
        inputs = [*(ops.copy(v) for v in variables), *keras.tree.flatten(given)]
        places = [i for i, value in enumerate(inputs) if is_float(value)]
        seeds = [v for v in variables if not is_float(v)] if training else []
        entries: list[Report] = []

        def run(x: Any, *floats: Any) -> tuple[Any, ...]:
            now = list(inputs)
            for i, value in zip(places, floats, strict=True):
                now[i] = value
            seen, held = keras.tree.pack_sequence_as(given, now[len(variables) :])
            mapping = zip(variables, now[: len(variables)], strict=True)
            with keras.StatelessScope(state_mapping=mapping) as scope, collect() as reported:
                y, after = self.branch(x, seen, state=held, training=training)
            entries[:] = reported.entries
            drawn = [scope.get_current_value(seed) for seed in seeds]
            return y, *drawn, *keras.tree.flatten(after), *reported.tensors()

        y, *others = keras.remat(run)(x, *(inputs[i] for i in places))
        for seed, value in zip(seeds, others, strict=False):
            seed.assign(value)
        # The carry after is shaped like the one before.
        carry = () if state is None else state
        size = len(keras.tree.flatten(carry))
        kept, reported = others[len(seeds) :][:size], others[len(seeds) + size :]
        report_again(entries, reported)
        return y, keras.tree.pack_sequence_as(carry, kept)

    def initial_state(self, batch: int, length: int) -> State:
        return self.branch.initial_state(batch, length)

    def initial_carry(self, batch: int) -> State:
        return self.branch.initial_carry(batch)


def is_float(x: Any) -> bool:
    """Whether x is a tensor or variable of real numbers, not None and not of integers."""
    return x is not None and keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))
