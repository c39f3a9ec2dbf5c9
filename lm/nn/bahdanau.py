"""Bahdanau's decoder: a recurrence that attends to the source before every step."""

from typing import ClassVar, NamedTuple

from keras import ops

from lm.nn.branch import Branch, Context, Factory, State, make, refuse_source
from lm.nn.cache import Shared
from lm.nn.cells import in_turn, stepping
from lm.nn.initializers import Initializer, initializer
from lm.nn.input_feeding import by_position
from lm.nn.luong import read, remembered
from lm.nn.projections import built_dense
from lm.nn.recurrent import flow
from lm.parts import part
from lm.types import Shape, Tensor, Tree


class Searched(NamedTuple):
    """State of `BahdanauDecoder`.

    Attributes:
        read: `[s_{t-1}; c_t]` of the last position, [B, 2D], for its output.
        cell: state of the cell.
        memory: keys and values, `Shared`; `()` except in decoding.
    """

    read: Tensor
    cell: State
    memory: Tree = ()


@part
class BahdanauDecoder(Branch):
    """`s_t = cell([x_t; c_t], s_{t-1})`, `y_t = max_k ([x_t; s_{t-1}; c_t] W)_k` over pairs, D → D.

    The context is `c_t = Σ_s α_ts m_s` with `α_t = softmax_s(score(s_{t-1}, m_s))`.

    Args:
        cell: factory of a cell that steps.
        score: factory of a score of `lm.nn.luong`; the paper's is `AdditiveScore`.
        kernel_initializer: name or factory of the initial values of W.
        memory_initializer: the same for the matrix with which the cell reads c_t.

    State: `Searched`.

    Raises:
        LayerError: if the stack has no memory, or the cell does not step.

    Source: Bahdanau et al. 2015 (https://arxiv.org/abs/1409.0473), section 3.1 and appendix A.2.2.
    Departures: s_0 is 0, not a projection of the encoder's backward state; one width.
    """

    logical_axes: ClassVar = {"(output|memory)/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        cell: Factory,
        score: Factory,
        kernel_initializer: Initializer = "glorot_uniform",
        memory_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.cell = stepping(cell)
        self.score = make(score, "score")
        self.kernel_initializer = initializer(kernel_initializer)
        self.memory_initializer = initializer(memory_initializer)

    def build(self, x_shape: Shape) -> None:
        self.width = x_shape[-1]
        self.cell.build(x_shape)
        self.score.build(x_shape)
        units, every = self.cell.inputs.units, (*x_shape[:-1], 3 * self.width)
        self.memory_dense = built_dense("memory", x_shape, units, self.memory_initializer)
        self.output_dense = built_dense("output", every, 2 * self.width, self.kernel_initializer)

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        refuse_source(self, context)
        x = ops.cast(x, self.compute_dtype)
        before = self.initial_state(ops.shape(x)[0], 0) if state is None else state
        memory = remembered(self, context, before.memory)

        def step(now: tuple[Tensor, Tree], before: Searched) -> Searched:
            inputs, visible = now
            mask = visible[:, None, None] if context.memory_mask is not None else None
            s = ops.cast(before.cell.h, x.dtype)
            c = read(self.score, s[:, None], memory, mask)[:, 0]  # [B, D]
            after = self.cell.step(inputs + self.memory_dense(c), before.cell)
            return Searched(ops.concatenate([s, c], axis=-1), after)

        inputs = self.cell.inputs(x), by_position(context.memory_mask, x.shape[1])
        both, after = in_turn(step, inputs, flow(x, context), before._replace(memory=()))
        y = self.output_dense(ops.concatenate([x, both], axis=-1))  # [B, T, 2D]
        y = ops.max(ops.reshape(y, (*x.shape[:2], self.width, 2)), axis=-1)
        if context.index is not None:
            after = after._replace(memory=Shared(memory))
        return y, () if state is None else after

    def initial_state(self, batch: int, length: int) -> Searched:
        del length
        zeros = ops.zeros((batch, 2 * self.width), self.compute_dtype)
        return Searched(zeros, self.cell.initial_state(batch, self.width))
