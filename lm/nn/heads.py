"""What stands on a stack: logits over the vocabulary, tied or not, and BERT's two heads."""

from typing import Any, ClassVar, NamedTuple

import keras
from keras import ops

from lm.nn.initializers import initializer
from lm.nn.norm import LayerNorm
from lm.parts import part


class Factors(NamedTuple):
    """`x kernelᵀ + bias`: logits [..., V] before the product is made.

    Attributes:
        x: [..., D].
        kernel: [V, D].
        bias: [V], or () where there is none.
    """

    x: Any
    kernel: Any
    bias: Any = ()


def whole(factors: Factors) -> Any:
    """Returns the logits, [..., V]."""
    logits = ops.matmul(factors.x, ops.transpose(factors.kernel))
    return logits if isinstance(factors.bias, tuple) else logits + factors.bias


def from_table(factors: Factors) -> Any:
    """Returns the logits as `whole` does, where the kernel lies in memory as a table [V, D].

    The table is turned before the product, over a third axis lest XLA turns the product instead.
    The gradient of the table is then made as [D, V], which on a processor takes half the time.
    """
    count, width = factors.kernel.shape
    turned = ops.transpose(ops.reshape(factors.kernel, (count, width, 1)), (1, 0, 2))
    rows = ops.reshape(factors.x, (-1, width))
    logits = ops.matmul(rows, ops.reshape(turned, (width, count)))
    logits = ops.reshape(logits, (-1, *factors.x.shape[1:-1], count))
    return logits if isinstance(factors.bias, tuple) else logits + factors.bias


def step(factors: Factors) -> Any:
    """Returns the logits [B, V] of one position per row, x [B, D], without a bias.

    Made as kernel xᵀ and turned: so a processor reads a table, by far the larger factor, in order,
    in half the time for up to a few dozen rows.
    """
    turned = ops.matmul(factors.kernel, ops.transpose(factors.x))  # [V, B]
    # With its third axis XLA does not turn the product itself back.
    return ops.transpose(turned[:, :, None], (1, 2, 0))[:, 0]


@part
class Logits(keras.layers.Layer):
    """`x W`, [B, T, D] → [B, T, V], with a matrix of its own.

    Args:
        kernel_initializer: name or factory of the initial values.

    Source: Raffel et al. 2020 (T5 1.1 unties input and output).
    """

    logical_axes: ClassVar = {"kernel": ("embed", "vocab")}

    def __init__(
        self, *, kernel_initializer: Any = "glorot_uniform", name: str | None = None
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Any, table_shape: Any) -> None:
        self.kernel = self.add_weight(
            shape=(x_shape[-1], table_shape[0]),
            initializer=self.kernel_initializer,
            name="kernel",
        )

    def call(self, x: Any, table: Any) -> Any:
        return whole(self.factors(x, table))

    def step(self, x: Any, table: Any) -> Any:
        """Returns the logits of one position per row, [B, D] → [B, V]."""
        return whole(self.factors(x, table))

    def factors(self, x: Any, table: Any) -> Factors:
        """Returns what the logits are the product of."""
        del table
        kernel = ops.cast(self.kernel, self.compute_dtype)
        return Factors(ops.cast(x, self.compute_dtype), ops.transpose(kernel))


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

    def call(self, x: Any, table: Any) -> Any:
        return from_table(self.factors(x, table))

    def step(self, x: Any, table: Any) -> Any:
        """Returns the logits of one position per row, [B, D] → [B, V]."""
        return step(self.factors(x, table))

    def factors(self, x: Any, table: Any) -> Factors:
        """Returns what the logits are the product of."""
        x = ops.cast(x, self.compute_dtype) * x.shape[-1] ** self.scale_exponent
        return Factors(x, ops.cast(table, self.compute_dtype))


@part
class MaskedLanguageHead(keras.layers.Layer):
    """`norm(activation(x W + b)) Eᵀ + c`: BERT's prediction of masked tokens.

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
        activation: Any,
        epsilon: float = 1e-12,
        kernel_initializer: Any = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.activation = activation
        self.kernel_initializer = initializer(kernel_initializer)
        self.norm = LayerNorm(epsilon=epsilon, name="norm")

    def build(self, x_shape: Any, table_shape: Any) -> None:
        self.dense = keras.layers.Dense(
            x_shape[-1], kernel_initializer=self.kernel_initializer, name="dense"
        )
        self.bias = self.add_weight(shape=(table_shape[0],), initializer="zeros", name="bias")

    def call(self, x: Any, table: Any) -> Any:
        return from_table(self.factors(x, table))

    def factors(self, x: Any, table: Any) -> Factors:
        """Returns what the logits are the product of."""
        x = self.norm(self.activation(self.dense(ops.cast(x, self.compute_dtype))))
        table, bias = (ops.cast(y, self.compute_dtype) for y in (table, self.bias))
        return Factors(x, table, bias)


@part
class Pooler(keras.layers.Layer):
    """`tanh(x_0 W + b)`, [B, T, D] → [B, D]: the first position stands for the whole.

    Args:
        kernel_initializer: name or factory of the initial values of W.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805) and its release.
    """

    logical_axes: ClassVar = {"dense/kernel": ("embed", "unmodeled")}

    def __init__(
        self, *, kernel_initializer: Any = "glorot_uniform", name: str | None = None
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Any) -> None:
        self.dense = keras.layers.Dense(
            x_shape[-1],
            activation="tanh",
            kernel_initializer=self.kernel_initializer,
            name="dense",
        )

    def call(self, x: Any, table: Any) -> Any:
        del table
        return self.dense(ops.cast(x[:, 0], self.compute_dtype))
