"""Branches side by side."""

from collections.abc import Sequence

from lm.nn.branch import Branch, Context, Factory, State, chain, make_all
from lm.parts import part
from lm.types import Tensor


@part
class Parallel(Branch):
    """`Σ_i after_i(branch_i(x))`: parallel branches over the same x.

    Args:
        branches: factories of branches.
        after: factories of layers applied to the output of each branch, e.g. dropout.

    State: the states of the branches.

    Source: So, Liang, Le 2019 (https://arxiv.org/abs/1901.11117), the decoder's first block.
    """

    def __init__(
        self, *, branches: Sequence[Factory], after: Sequence[Factory] = (), name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.branches = make_all(branches, "branch")
        self.after = [make_all(after, f"after_{i}") for i in range(len(self.branches))]

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        outputs, states = [], []
        for i, branch in enumerate(self.branches):
            y, after = branch(x, context, state=None if state is None else state[i])
            outputs.append(chain(self.after[i], y))
            states.append(after)
        return sum(outputs[1:], outputs[0]), () if state is None else tuple(states)

    def initial_state(self, batch: int, length: int) -> State:
        return tuple(branch.initial_state(batch, length) for branch in self.branches)

    def initial_carry(self, batch: int) -> State:
        return tuple(branch.initial_carry(batch) for branch in self.branches)
