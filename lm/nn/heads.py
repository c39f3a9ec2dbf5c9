"""Heads of a stack: logits over the vocabulary, tied or not, and BERT's two heads."""

from typing import ClassVar, NamedTuple

import keras
from keras import ops

from lm.nn.initializers import Initializer, initializer
from lm.nn.kernels import Dense, matrix, product
from lm.nn.norm import LayerNorm
from lm.parts import part
from lm.types import Activation, Layer, Shape, Tensor


class LogitsInput(NamedTuple):
    """The inputs of logits `x kernelᵀ + bias`, [..., V].

    Attributes:
        x: [..., D].
        kernel: [V, D].
        bias: [V], or () for none.
    """

    x: Tensor
    kernel: Tensor
    bias: Tensor = ()


def project(inputs: LogitsInput) -> Tensor:
    """Returns the logits, [..., V]."""
    logits = ops.matmul(inputs.x, ops.transpose(inputs.kernel))
    return logits if isinstance(inputs.bias, tuple) else logits + inputs.bias


def project_from_table(inputs: LogitsInput) -> Tensor:
    """Returns the logits as `project` does, for a kernel stored as a table [V, D].

    The table is transposed before the product, so that its gradient is computed as [D, V], which
    takes half the time on a CPU. The third axis keeps XLA from transposing the product instead.
    """
    count, width = inputs.kernel.shape
    kernel = ops.transpose(ops.reshape(inputs.kernel, (count, width, 1)), (1, 0, 2))  # [D, V, 1]
    rows = ops.reshape(inputs.x, (-1, width))
    logits = ops.matmul(rows, ops.reshape(kernel, (width, count)))
    logits = ops.reshape(logits, (-1, *inputs.x.shape[1:-1], count))
    return logits if isinstance(inputs.bias, tuple) else logits + inputs.bias


@part
class Logits(keras.layers.Layer):
    """`x W`, [B, T, D] → [B, T, V]: untied logits.

    Args:
        kernel_initializer: name or factory of the initial values.

    Source: Raffel et al. 2020 (T5 1.1 unties input and output).
    """

    logical_axes: ClassVar = {"kernel": ("embed", "vocab")}

    def __init__(
        self, *, kernel_initializer: Initializer = "glorot_uniform", name: str | None = None
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Shape, table_shape: Shape) -> None:
        self.kernel = self.add_weight(
            shape=(x_shape[-1], table_shape[0]),
            initializer=self.kernel_initializer,
            name="kernel",
        )

    def call(self, x: Tensor, table: Tensor, segments: Tensor = None) -> Tensor:
        del segments
        return project(self.logits_input(x, table))

    def step(self, x: Tensor, embedding: Layer) -> Tensor:
        """Returns the logits of one position per row, [B, D] → [B, V]."""
        del embedding
        return product(ops.cast(x, self.compute_dtype), self.kernel)

    def logits_input(self, x: Tensor, table: Tensor) -> LogitsInput:
        """Returns what the logits are projected from."""
        del table
        kernel = ops.cast(matrix(self.kernel), self.compute_dtype)
        return LogitsInput(ops.cast(x, self.compute_dtype), ops.transpose(kernel))


@part
class TiedLogits(keras.layers.Layer):
    """`(x · D^scale_exponent) Eᵀ` with the table E of the embedding.

    Args:
        scale_exponent: 0 for GPT-2; T5 1.0 uses -0.5, because its embeddings have unit variance.

    Source: Press, Wolf 2017 (https://arxiv.org/abs/1608.05859).
    """

    def __init__(self, *, scale_exponent: float = 0.0, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)
        self.scale_exponent = scale_exponent

    def call(self, x: Tensor, table: Tensor, segments: Tensor = None) -> Tensor:
        del segments
        return project_from_table(self.logits_input(x, table))

    def step(self, x: Tensor, embedding: Layer) -> Tensor:
        """Returns the logits of one position per row, [B, D] → [B, V]."""
        return embedding.logits(self.scaled(x))

    def logits_input(self, x: Tensor, table: Tensor) -> LogitsInput:
        """Returns what the logits are projected from."""
        return LogitsInput(self.scaled(x), ops.cast(table, self.compute_dtype))

    def scaled(self, x: Tensor) -> Tensor:
        """Returns `x · D^scale_exponent`."""
        return ops.cast(x, self.compute_dtype) * x.shape[-1] ** self.scale_exponent


@part
class BiasedLogits(keras.layers.Layer):
    """`x Eᵀ + b`, [B, T, D] → [B, T, V], with the table E of the token embedding.

    Source: Yang et al. 2019 (https://arxiv.org/abs/1906.08237), its release.
    """

    logical_axes: ClassVar = {"bias": ("vocab",)}

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name, autocast=False)

    def build(self, x_shape: Shape, table_shape: Shape) -> None:
        del x_shape
        self.bias = self.add_weight(shape=(table_shape[0],), initializer="zeros", name="bias")

    def call(self, x: Tensor, table: Tensor, segments: Tensor = None) -> Tensor:
        del segments
        return project_from_table(self.logits_input(x, table))

    def logits_input(self, x: Tensor, table: Tensor) -> LogitsInput:
        """Returns what the logits are projected from."""
        return LogitsInput(*(ops.cast(y, self.compute_dtype) for y in (x, table, self.bias)))


@part
class MaskedLanguageHead(keras.layers.Layer):
    """`norm(activation(x W + b)) Eᵀ + c`: BERT's prediction of masked tokens.

    W is [D, E], E the width of the table, which need not be that of x.

    Args:
        activation: function after the dense layer (BERT: GELU).
        epsilon: of the norm.
        kernel_initializer: name or factory of the initial values of W.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805) and its release.
    """

    logical_axes: ClassVar = {
        "dense/kernel": ("embed", "unmodeled"),
        "bias": ("vocab",),
    }

    def __init__(
        self,
        *,
        activation: Activation,
        epsilon: float = 1e-12,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.activation = activation
        self.kernel_initializer = initializer(kernel_initializer)
        self.norm = LayerNorm(epsilon=epsilon, name="norm")

    def build(self, x_shape: Shape, table_shape: Shape) -> None:
        del x_shape
        self.dense = Dense(table_shape[1], kernel_initializer=self.kernel_initializer, name="dense")
        self.bias = self.add_weight(shape=(table_shape[0],), initializer="zeros", name="bias")

    def call(self, x: Tensor, table: Tensor, segments: Tensor = None) -> Tensor:
        del segments
        return project_from_table(self.logits_input(x, table))

    def logits_input(self, x: Tensor, table: Tensor) -> LogitsInput:
        """Returns what the logits are projected from."""
        x = self.norm(self.activation(self.dense(ops.cast(x, self.compute_dtype))))
        table, bias = (ops.cast(y, self.compute_dtype) for y in (table, self.bias))
        return LogitsInput(x, table, bias)


@part
class Pooler(keras.layers.Layer):
    """`tanh(x_0 W + b)`, [B, T, D] → [B, D]: the first position represents the row.

    Args:
        kernel_initializer: name or factory of the initial values of W.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805) and its release.
    """

    logical_axes: ClassVar = {"dense/kernel": ("embed", "unmodeled")}

    def __init__(
        self, *, kernel_initializer: Initializer = "glorot_uniform", name: str | None = None
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Shape) -> None:
        self.dense = Dense(
            x_shape[-1],
            activation="tanh",
            kernel_initializer=self.kernel_initializer,
            name="dense",
        )

    def call(self, x: Tensor, table: Tensor, segments: Tensor = None) -> Tensor:
        del table, segments
        return self.dense(ops.cast(x[:, 0], self.compute_dtype))
