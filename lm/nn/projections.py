"""The projections of multi-head attention: from the width to heads and back."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import keras
from keras import ops

from lm.errors import LayerError
from lm.nn.dense import built_dense
from lm.nn.dot_product import KeyValue
from lm.nn.initializers import Initializer, initializer
from lm.types import Shape, Tensor


class HeadOptions(NamedTuple):
    """The options of attention's projections.

    Attributes:
        num_heads: number of heads H.
        head_dim: width K of a head; None means D / H.
        use_bias: whether the projections add a bias (GPT-2 and BERT do, T5 does not).
        scale: factor on the query; None means K^-0.5; T5 and Primer use 1.
        kernel_initializer: name or factory for the initial values of the matrices.
        query_initializer, output_initializer: the same for one of them, where it differs.
    """

    num_heads: int
    head_dim: int | None = None
    use_bias: bool = True
    scale: float | None = None
    kernel_initializer: Initializer = "glorot_uniform"
    query_initializer: Initializer | None = None
    output_initializer: Initializer | None = None

    def initializers(self, *names: str) -> dict[str, Any]:
        """Returns the initializer of each matrix, in the order of the names."""
        special = {"query": self.query_initializer, "output": self.output_initializer}
        return {name: initializer(special.get(name) or self.kernel_initializer) for name in names}


class Heads(keras.layers.Layer):
    """`q = x W_q · scale`, `k = s W_k`, `v = s W_v`, each D → H·K, and `y W_o` back.

    Self-attention takes the three projections apart (`project`), may let a branch follow each of
    them, and then asks which is query, key and value (`roles`).

    Args:
        options: numbers and initializers.

    Raises:
        LayerError: if the width does not divide by the heads and `head_dim` is not given.
    """

    logical_axes: ClassVar = {
        "(query|key|value)/kernel": ("embed", "joined_kv"),
        "(query|key|value)/bias": ("joined_kv",),
        "output/kernel": ("joined_kv", "embed"),
    }

    projections = ("query", "key", "value")

    def __init__(self, options: HeadOptions, *, name: str = "heads") -> None:
        super().__init__(name=name, autocast=False)
        self.num_heads = options.num_heads
        self.head_dim: Any = options.head_dim
        self.use_bias = options.use_bias
        self.scale = options.scale
        self.initializers = options.initializers("query", "key", "value", "output")

    def build(self, x_shape: Shape, source_shape: Shape) -> None:
        width = x_shape[-1]
        self.head_dim = self.head_dim or head_width(width, self.num_heads)
        self.scale = self.head_dim**-0.5 if self.scale is None else self.scale
        inner = self.num_heads * self.head_dim
        merged_shape = (*x_shape[:-1], inner)
        self.query_dense = self.dense("query", x_shape, inner)
        self.key_dense = self.dense("key", source_shape, inner)
        self.value_dense = self.dense("value", source_shape, inner)
        self.output_dense = self.dense("output", merged_shape, width)

    def dense(self, name: str, input_shape: Shape, units: int) -> Any:
        kernel_initializer = self.initializers[name]
        return built_dense(name, input_shape, units, kernel_initializer, use_bias=self.use_bias)

    def query(self, x: Tensor) -> Tensor:
        """[B, T, D] → [B, T, H, K], scaled."""
        return self.split(self.query_dense(x)) * self.scale

    def key_value(self, source: Tensor) -> KeyValue:
        """[B, S, D] → two of [B, S, H, K]."""
        return KeyValue(self.split(self.key_dense(source)), self.split(self.value_dense(source)))

    def project(self, x: Tensor, source: Tensor) -> tuple[Tensor, ...]:
        """[B, T, D] and [B, S, D] → [B, T or S, H, K] for each of `projections`, not yet scaled."""
        return self.split(self.query_dense(x)), *self.key_value(source)

    def roles(self, projected: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Returns query (scaled), key and value, [B, T or S, H, K] each."""
        query, key, value = projected
        return query * self.scale, key, value

    def merge(self, x: Tensor) -> Tensor:
        """[B, T, H, K] → [B, T, D]."""
        return self.output_dense(join_heads(x))

    def split(self, x: Tensor) -> Tensor:
        return split_heads(x, self.num_heads)


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """[B, T, H·K] → [B, T, H, K]."""
    return ops.reshape(x, (-1, x.shape[1], num_heads, x.shape[-1] // num_heads))


def join_heads(x: Tensor) -> Tensor:
    """[B, T, H, K] → [B, T, H·K]."""
    return ops.reshape(x, (-1, x.shape[1], x.shape[2] * x.shape[3]))


def head_width(width: int, num_heads: int) -> int:
    """Returns D / H, or refuses what does not divide."""
    if width % num_heads:
        raise LayerError(
            f"a width of {width} does not divide into num_heads = {num_heads}: "
            "change HIDDEN_DIM or NUM_HEADS, or bind head_dim"
        )
    return width // num_heads
