"""The gated attention unit: attention of one head inside a gated linear unit.

Shapes by letter: B batch, T new positions, S keys, D width, F hidden width of the gate and of the
values, K width of queries and keys, N heads of a unit.
"""

from collections.abc import Callable
from typing import ClassVar, TypeAlias

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.branch import Branch, Context, Factory, State, make, refuse_source
from lm.nn.cache import Cache, by_prompt, write
from lm.nn.dropout import Dropout
from lm.nn.feedforward import squared_relu
from lm.nn.initializers import Initializer, initializer
from lm.nn.projections import KeyValue, built_dense, make_dense, single_head_products
from lm.parts import part
from lm.ranges import PositiveInt, UnitFloat
from lm.types import Activation, Shape, Tensor

Kernel: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
"""`(query [B, T, K], key [B, S, K], bias, mask, n) -> weights [B, T, S]`, float32."""


@part
def squared_relu_kernel(
    query: Tensor, key: Tensor, bias: Tensor, mask: Tensor, length: int
) -> Tensor:
    """Returns `relu(q·kᵀ / n + bias)²`, zero where masked: the kernel of GAU and FLASH."""
    weights = squared_relu(single_head_products(query, key) / length + bias)
    return ops.where(mask, weights, 0.0)


@part
def softmax_kernel(query: Tensor, key: Tensor, bias: Tensor, mask: Tensor, length: int) -> Tensor:
    """Returns `softmax(q·kᵀ K^-0.5 + bias)`: ordinary attention, which does not need n."""
    del length
    logits = single_head_products(query, key) * query.shape[-1] ** -0.5 + bias
    return ops.softmax(ops.where(mask, logits, -1e9))


@part
class GatedUnit(keras.layers.Layer):
    """`(u ⊙ a) W_o + b_o` around an attended a: what GAU and FLASH share.

        u = φ(x W_u + b_u), v = φ(x W_v + b_v), z = φ(x W_z + b_z)
        head_i = rotary(z ⊙ γ_i + β_i)               queries and keys, all from one z
        y = (u ⊙ a) W_o + b_o                        a is computed from the heads and v

    Args:
        intermediate_dim: F, the width of u and v (2·D in the paper).
        head_dim: K, the width of z (128 in the paper).
        num_heads: N, set by the branch around it; not to be bound.
        activation: φ; the paper's is swish.
        dropout: rate on u ⊙ a.
        rotary: factory of a layer that rotates the heads by their positions, or None.
        kernel_initializer: name or factory of the initial values of the matrices and of γ.

    Raises:
        LayerError: if the heads are rotated and their width is odd.

    Source: Hua et al. 2022 (https://arxiv.org/abs/2202.10447), section 3.1 and appendix.
    Departures: three matrices instead of one D → 2F + K, so that each can be split over devices;
    the function is the same.
    """

    logical_axes: ClassVar = {
        "(gate|value)/kernel": ("embed", "mlp"),
        "(gate|value)/bias": ("mlp",),
        "output/kernel": ("mlp", "embed"),
        "base/kernel": ("embed", "kv"),
        "head_(scale|bias)": ("unmodeled", "kv"),
    }

    def __init__(
        self,
        *,
        intermediate_dim: PositiveInt,
        head_dim: PositiveInt,
        num_heads: PositiveInt,
        activation: Activation = keras.activations.silu,
        dropout: UnitFloat = 0.0,
        rotary: Factory | None = None,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        if rotary and head_dim % 2:
            raise LayerError(
                f"GatedUnit.head_dim = {head_dim} is odd and cannot be rotated in pairs: "
                "change HEAD_DIM or bind GatedUnit.rotary = None"
            )
        self.intermediate_dim, self.head_dim = intermediate_dim, head_dim
        self.num_heads = num_heads
        self.activation = activation
        self.dropout = Dropout(rate=dropout, name="dropout")
        self.rotary = make(rotary) if rotary else None
        widths = {"gate": intermediate_dim, "value": intermediate_dim, "base": head_dim}
        self.gate, self.value, self.base = (
            make_dense(part, width, initializer(kernel_initializer), use_bias=True)
            for part, width in widths.items()
        )
        self.head_initializer = initializer(kernel_initializer)
        self.output_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Shape) -> None:
        for layer in (self.gate, self.value, self.base):
            layer.build(x_shape)
        shape = (self.num_heads, self.head_dim)
        self.scale = self.add_weight(
            shape=shape, initializer=self.head_initializer, name="head_scale"
        )
        self.offset = self.add_weight(shape=shape, initializer="zeros", name="head_bias")
        gated_shape = (*x_shape[:-1], self.intermediate_dim)
        self.output_dense = built_dense(
            "output", gated_shape, x_shape[-1], self.output_initializer, use_bias=True
        )

    def split(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """[B, T, D] → gate [B, T, F], value [B, T, F], N heads of [B, T, K]."""
        base = self.activation(self.base(x))[:, :, None]  # [B, T, 1, K]
        heads = base * ops.cast(self.scale, base.dtype) + ops.cast(self.offset, base.dtype)
        if self.rotary:
            heads = self.rotary(heads, positions)  # [B, T, N, K]
        gate, value = self.activation(self.gate(x)), self.activation(self.value(x))
        return gate, value, ops.unstack(heads, self.num_heads, axis=2)

    def merge(self, gate: Tensor, attended: Tensor) -> Tensor:
        """Two of [B, T, F] → [B, T, D]."""
        return self.output_dense(self.dropout(gate * attended))


@part
class GatedAttentionUnit(Branch):
    """`(u ⊙ (A v)) W_o` with `A = kernel(q, k)` of one head: attention and feed-forward in one.

    With the squared ReLU, `A = relu(q·kᵀ / n + b)² ⊙ mask` is not normalised over the keys, so n
    must not depend on the rest of the row. It is a constant of the model, `max_sequence_length`: a
    sequence gets the same result alone, packed, padded and step by step. Two units replace a
    Transformer layer of attention and feed-forward.

    Args:
        unit: factory of the `GatedUnit`.
        kernel: `squared_relu_kernel` or `softmax_kernel`.
        max_sequence_length: n.
        position_bias: factory of a relative bias `(query, key) -> [B or 1, 1, T, S]`, or None.

    State: keys and values of the positions so far, `Cache` of `KeyValue` of [B, 1, L, K] and
    [B, 1, L, F].

    Raises:
        LayerError: if the bias is too short, or the stack has a bias.

    Source: Hua et al. 2022 (https://arxiv.org/abs/2202.10447), section 3.1; models of this unit are
    called FLASH-Quad.
    Departures: n is fixed. If it were the length of the batch, a model trained at one length would
    compute attention weights off by a square factor at another.
    """

    def __init__(
        self,
        *,
        unit: Factory,
        kernel: Kernel,
        max_sequence_length: PositiveInt,
        position_bias: Factory | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.unit = unit(num_heads=2, name="unit")
        self.kernel = kernel
        self.length = max_sequence_length
        self.position_bias = make(position_bias) if position_bias else None

    def build(self, x_shape: Shape) -> None:
        self.unit.build(x_shape)

    def call(self, x: Tensor, context: Context, state: State = None) -> tuple[Tensor, State]:
        x = admitted(self, x, context)
        gate, value, (query, key) = self.unit.split(x, context.positions)
        query, key, value = query[:, None], key[:, None], value[:, None]  # [B, 1, T, K or F]
        if not state:
            self.check_length(x.shape[1])
            index = ops.arange(x.shape[1], dtype="int32")[None]
            bias = self.bias(index, index)
            return self.unit.merge(gate, self.attend(query, key, value, bias, context.mask)), ()
        cache = write(state, KeyValue(key, value), context.slot)
        bias = self.bias(context.query_positions, context.key_positions)
        key, value = cache.tree
        query, bias, mask = (by_prompt(x, key.shape[0]) for x in (query, bias, context.mask))
        attended = self.attend(query, key, value, bias, mask)
        return self.unit.merge(gate, ops.reshape(attended, gate.shape)), cache

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, mask: Tensor
    ) -> Tensor:
        """Returns `A v`, [B, T, F], of arguments that lead with [B or 1, 1 head]."""
        weights = self.kernel(query[:, 0], key[:, 0], bias[:, 0], mask[:, 0], self.length)
        return ops.einsum("bts,bsf->btf", ops.cast(weights, value.dtype), value[:, 0])

    def bias(self, query: Tensor, key: Tensor) -> Tensor:
        """Returns the bias from positions [B or 1, T] and [B or 1, S], [B or 1, 1, T, S or 1]."""
        if self.position_bias is None:
            return ops.zeros((query.shape[0], 1, query.shape[1], 1))
        return self.position_bias(query, key)

    def check_length(self, length: int) -> None:
        if self.position_bias:
            self.position_bias.check_length(length)

    def initial_state(self, batch: int, length: int) -> State:
        self.check_length(length)
        key = ops.zeros((batch, 1, length, self.unit.head_dim), self.compute_dtype)
        value = ops.zeros((batch, 1, length, self.unit.intermediate_dim), self.compute_dtype)
        return Cache(KeyValue(key, value))


def admitted(branch: Branch, x: Tensor, context: Context) -> Tensor:
    """Returns x in the branch's compute type.

    Raises:
        LayerError: the keys are those of another row, or the stack has a position bias, which has
            the heads of a Transformer.
    """
    refuse_source(branch, context)
    if context.position_bias is not None:
        owner = type(branch).__name__
        raise LayerError(
            f"{owner} has one head and a bias of its own: bind {owner}.position_bias and "
            "Stack.position_bias = None"
        )
    return ops.cast(x, branch.compute_dtype)
