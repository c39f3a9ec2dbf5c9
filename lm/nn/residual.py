"""Residual connections around branches; lists of layers set the order of norms and dropout."""

from collections.abc import Callable, Sequence

import keras
from keras import ops

from lm.nn.branch import Branch, Context, Factory, State, chain, make, make_all
from lm.nn.reports import Report, collect, report_again
from lm.parts import part
from lm.types import Tensor, Training, Tree


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

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        y, state = self.branch(chain(self.before, x), context, state=state)
        return chain(self.after_add, x + chain(self.after, y)), state

    def initial_state(self, batch: int, length: int) -> State:
        return self.branch.initial_state(batch, length)

    def initial_carry(self, batch: int) -> State:
        return self.branch.initial_carry(batch)


@part
class Remat(Branch):
    """Recomputes its branch in the backward pass instead of saving its activations.

    Args:
        branch: factory of a branch or residual.

    Source: Chen et al. 2016 (https://arxiv.org/abs/1604.06174).
    """

    def __init__(self, *, branch: Factory, name: str | None = None) -> None:
        super().__init__(name=name)
        self.branch = make(branch)

    def call(
        self, x: Tensor, context: Context, state: State = None, training: Training = None
    ) -> tuple[Tensor, State]:
        if context.index is not None or not self.branch.built:
            return self.branch(x, context, state=state)
        # The branch runs a second time outside of this call and must then see the same weights,
        # context and random state. So weights and all other floats are arguments, through which
        # gradients flow. Integers (masks, seeds) are closed over, because TensorFlow adds a term to
        # every argument.
        variables = self.branch.variables
        floats, with_floats = split_floats(([ops.copy(v) for v in variables], context, state))
        seeds = [v for v in variables if not is_float(v)] if training else []
        entries: list[Report] = []

        def run(x: Tensor, *floats: Tensor) -> tuple[Tensor, ...]:
            values, seen, before = with_floats(floats)
            mapping = zip(variables, values, strict=True)
            with keras.StatelessScope(state_mapping=mapping) as scope, collect() as reported:
                y, after = self.branch(x, seen, state=before, training=training)
            entries[:] = reported.entries
            advanced = [scope.get_current_value(seed) for seed in seeds]
            return y, *advanced, *keras.tree.flatten(after), *reported.tensors()

        y, *others = keras.remat(run)(x, *floats)
        for seed, value in zip(seeds, others, strict=False):
            seed.assign(value)
        # The other results are flat: the state after, shaped like the one before, and the reports.
        carry = () if state is None else state
        start, end = len(seeds), len(seeds) + len(keras.tree.flatten(carry))
        report_again(entries, others[end:])
        return y, keras.tree.pack_sequence_as(carry, others[start:end])

    def initial_state(self, batch: int, length: int) -> State:
        return self.branch.initial_state(batch, length)

    def initial_carry(self, batch: int) -> State:
        return self.branch.initial_carry(batch)


def split_floats(tree: Tree) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], Tree]]:
    """Returns the float tensors of a tree, and a function that puts others in their place."""
    leaves = keras.tree.flatten(tree)
    indices = [i for i, leaf in enumerate(leaves) if is_float(leaf)]

    def with_floats(floats: Sequence[Tensor]) -> Tree:
        others = list(leaves)
        for i, value in zip(indices, floats, strict=True):
            others[i] = value
        return keras.tree.pack_sequence_as(tree, others)

    return [leaves[i] for i in indices], with_floats


def is_float(x: Tensor) -> bool:
    """Whether x is a tensor or variable of floats, not None and not of integers."""
    return x is not None and keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))
