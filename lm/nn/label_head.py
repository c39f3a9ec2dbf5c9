"""The head of classifiers: scores for a row, or for each of its tokens.

`summary` selects the vectors that are scored, `layers` are applied in between:

    BERT      first   [Hidden with tanh, Dropout]
    ELECTRA   first   [Dropout, Hidden with gelu, Dropout]
    XLNet     last    [Hidden with tanh, Dropout]
    GPT-2     last    []
    tokens    every   [Dropout]
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import keras
from keras import ops

from lm.nn.branch import Factory, chain, make_all
from lm.nn.initializers import Initializer, initializer
from lm.nn.kernels import Dense
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Activation, Shape, Tensor

Summary: TypeAlias = Callable[[Tensor, Any], Tensor]
"""x [B, T, D] and segments, int32 [B, T] or None -> [B, D] or [B, T, D]."""


@part
def first(x: Tensor, segments: Tensor) -> Tensor:
    """The first position, BERT's [CLS]: [B, T, D] → [B, D]."""
    del segments
    return x[:, 0]


@part
def last(x: Tensor, segments: Tensor) -> Tensor:
    """The last position that is not padding: [B, T, D] → [B, D].

    >>> print(np.asarray(last(ops.array([[[1.0], [2.0], [3.0]]]), ops.array([[1, 1, 0]]))))
    [[2.]]
    """
    if segments is None:
        return x[:, -1]
    index = ops.arange(x.shape[1], dtype="int32")[None]  # [1, T]
    end = ops.max(ops.where(segments > 0, index, 0), axis=1, keepdims=True)  # [B, 1]
    return ops.sum(ops.where(ops.equal(index, end)[..., None], x, ops.zeros_like(x)), axis=1)


@part
def mean(x: Tensor, segments: Tensor) -> Tensor:
    """The mean over all positions except padding: [B, T, D] → [B, D].

    >>> print(np.asarray(mean(ops.array([[[1.0], [2.0], [9.0]]]), ops.array([[1, 1, 0]]))))
    [[1.5]]
    """
    if segments is None:
        return ops.mean(x, axis=1)
    is_real = ops.cast(segments > 0, x.dtype)[..., None]  # [B, T, 1]
    return ops.sum(x * is_real, axis=1) / ops.maximum(ops.sum(is_real, axis=1), 1)


@part
def every(x: Tensor, segments: Tensor) -> Tensor:
    """Every position: [B, T, D] → [B, T, D]."""
    del segments
    return x


@part
class Hidden(keras.layers.Layer):
    """`activation(x W + b)`, [..., D] → [..., D].

    Args:
        activation: e.g. `keras.activations.tanh`.
        kernel_initializer: name or factory of the initial values of W.
    """

    logical_axes: ClassVar = {"dense/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        activation: Activation,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.activation = activation
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Shape) -> None:
        self.dense = Dense(x_shape[-1], kernel_initializer=self.kernel_initializer, name="dense")

    def call(self, x: Tensor) -> Tensor:
        return self.activation(self.dense(x))


@part
class LabelHead(keras.layers.Layer):
    """`layers(summary(x)) W + b`, [B, T, D] → [B, L], or [B, T, L] where `summary` is `every`.

    Args:
        num_labels: number of scores L; 1 for regression and multiple choice, 2 (start and end of
            the answer) for spans.
        summary: `first`, `last`, `mean` or `every`.
        layers: factories of layers before W.
        kernel_initializer: name or factory of the initial values of W.

    Source: Devlin et al. 2019 (https://arxiv.org/abs/1810.04805), section 3.2 and appendix B; Clark
    et al. 2020 (ELECTRA) and Yang et al. 2019 (XLNet) in their releases.
    """

    logical_axes: ClassVar = {"scores/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        num_labels: PositiveInt,
        summary: Summary,
        layers: Sequence[Factory] = (),
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.num_labels = num_labels
        self.summary = summary
        self.layers = make_all(layers, "layer")
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Shape, table_shape: Shape) -> None:
        """The layers create their variables at their first call."""
        del x_shape, table_shape
        self.scores = Dense(
            self.num_labels, kernel_initializer=self.kernel_initializer, name="scores"
        )

    def call(self, x: Tensor, table: Tensor, segments: Tensor = None) -> Tensor:
        del table
        x = self.summary(ops.cast(x, self.compute_dtype), segments)
        return self.scores(chain(self.layers, x))
