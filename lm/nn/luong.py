"""Attention of recurrent decoders over the outputs of the encoder.

A score is a layer with `query(x)` and `key(memory)`, both [B, ·, D], and a call on the two.
"""

from typing import ClassVar

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, Factory, State, make
from lm.nn.cache import Shared, by_prompt
from lm.nn.initializers import Initializer, initializer
from lm.nn.projections import KeyValue, built_dense, single_head_products
from lm.parts import part
from lm.types import Layer, Shape, Tensor


@part
class DotScore(keras.layers.Layer):
    """`x_t · m_s`, [B, T, D], [B, S, D] → [B, T, S].

    Source: Luong et al. 2015 (https://arxiv.org/abs/1508.04025), equation 8, dot.
    """

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)

    def query(self, x: Tensor) -> Tensor:
        """Returns x."""
        return x

    def key(self, memory: Tensor) -> Tensor:
        """Returns the memory."""
        return memory

    def call(self, query: Tensor, key: Tensor) -> Tensor:
        return single_head_products(query, key)


@part
class GeneralScore(keras.layers.Layer):
    """`x_t W · m_s`, [B, T, D], [B, S, D] → [B, T, S].

    Args:
        kernel_initializer: name or factory of the initial values of W.

    Source: Luong et al. 2015 (https://arxiv.org/abs/1508.04025), equation 8, general.
    """

    logical_axes: ClassVar = {"query/kernel": ("embed", "unmodeled")}

    def __init__(
        self, *, kernel_initializer: Initializer = "glorot_uniform", name: str | None = None
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Shape) -> None:
        self.project = built_dense("query", x_shape, x_shape[-1], self.kernel_initializer)

    def query(self, x: Tensor) -> Tensor:
        """Returns `x W`."""
        return self.project(x)

    def key(self, memory: Tensor) -> Tensor:
        """Returns the memory."""
        return memory

    def call(self, query: Tensor, key: Tensor) -> Tensor:
        return single_head_products(query, key)


@part
class AdditiveScore(keras.layers.Layer):
    """`tanh(x_t W + m_s U) · v`, [B, T, D], [B, S, D] → [B, T, S], through [B, T, S, D].

    Args:
        kernel_initializer: name or factory of the initial values of W, U and v, each.

    Source: Bahdanau et al. 2015 (https://arxiv.org/abs/1409.0473), appendix A.1.2.
    """

    logical_axes: ClassVar = {"(query|key)/kernel": ("embed", "unmodeled")}

    def __init__(
        self, *, kernel_initializer: Initializer = "glorot_uniform", name: str | None = None
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.initializers = [initializer(kernel_initializer) for _ in range(3)]

    def build(self, x_shape: Shape) -> None:
        width = x_shape[-1]
        self.project, self.project_key = (
            built_dense(name, x_shape, width, init)
            for name, init in zip(("query", "key"), self.initializers, strict=False)
        )
        self.vector = self.add_weight(
            shape=(width,), initializer=self.initializers[2], name="vector"
        )

    def query(self, x: Tensor) -> Tensor:
        """Returns `x W`."""
        return self.project(x)

    def key(self, memory: Tensor) -> Tensor:
        """Returns `m U`."""
        return self.project_key(memory)

    def call(self, query: Tensor, key: Tensor) -> Tensor:
        both = ops.tanh(query[:, :, None] + key[:, None])  # [B, T, S, D]
        return ops.cast(ops.sum(both * ops.cast(self.vector, both.dtype), axis=-1), "float32")


@part
class LuongAttention(Branch):
    """`tanh([c_t; x_t] W)` with `c_t = Σ_s α_ts m_s`, `α_t = softmax_s(score(x_t, m_s))`.

    Args:
        score: factory of `DotScore`, `GeneralScore` or `AdditiveScore`.
        kernel_initializer: name or factory of the initial values of W.

    State: keys and values of the memory, `Shared` `KeyValue` of [B, S, D].

    Raises:
        LayerError: if the stack has no memory.

    Source: Luong et al. 2015 (https://arxiv.org/abs/1508.04025), section 3.1, global attention.
    Departures: no input feeding, which is `input_feeding.InputFeeding`.
    """

    logical_axes: ClassVar = {"output/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        score: Factory,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.score = make(score, "score")
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Shape) -> None:
        self.score.build(x_shape)
        both = (*x_shape[:-1], 2 * x_shape[-1])
        self.output_dense = built_dense("output", both, x_shape[-1], self.kernel_initializer)

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        x = ops.cast(x, self.compute_dtype)
        memory = remembered(self, context, state)
        after = () if context.index is None else Shared(memory)
        return self.attend(x, memory, context.memory_mask), after

    def attend(self, x: Tensor, memory: KeyValue, mask: Tensor) -> Tensor:
        """Returns `tanh([c_t; x_t] W)`, [B·N, T, D]; arguments as of `read`."""
        both = ops.concatenate([read(self.score, x, memory, mask), x], axis=-1)  # [B·N, T, 2D]
        return ops.tanh(self.output_dense(both))


def remembered(branch: Branch, context: Context, state: State) -> KeyValue:
    """Returns keys and values: computed from the memory if it is given, else from the state.

    Args:
        branch: with a `score`.
        context: with the memory, or without.
        state: `Shared`, or `()`.

    Raises:
        LayerError: there is neither memory nor state.
    """
    if context.memory is not None:
        memory = ops.cast(context.memory, branch.compute_dtype)
        return KeyValue(branch.score.key(memory), memory)
    if not state:
        raise LayerError(f"{type(branch).__name__} needs a memory, but this stack has none")
    return state.tree


def read(score: Layer, x: Tensor, memory: KeyValue, mask: Tensor) -> Tensor:
    """Returns `c_t = Σ_s α_ts m_s`, `α_t = softmax_s(score(x_t, m_s))`, [B·N, T, D].

    Args:
        score: of this file.
        x: [B·N, T, D], N sequences of each of the B prompts.
        memory: [B, S, D] each.
        mask: bool [B·N, 1, T or 1, S], or None.
    """
    prompts, query = memory.value.shape[0], score.query(x)
    if mask is not None:
        mask = ops.broadcast_to(mask, (*mask.shape[:2], x.shape[1], mask.shape[3]))
        mask = by_prompt(mask, prompts)[:, 0]  # [B, N·T, S]
    together = ops.reshape(query, (prompts, -1, x.shape[-1]))  # [B, N·T, D]
    logits = score(together, memory.key)  # [B, N·T, S]
    weights = ops.softmax(logits if mask is None else ops.where(mask, logits, -1e9))
    return ops.reshape(ops.matmul(ops.cast(weights, x.dtype), memory.value), x.shape)
