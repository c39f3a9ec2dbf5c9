"""A head that predicts a token or copies the input token."""

from typing import ClassVar, NamedTuple

import keras
from keras import ops

from lm.nn.branch import Factory, make
from lm.nn.initializers import Initializer, initializer
from lm.nn.kernels import Dense
from lm.parts import part
from lm.types import Shape, Tensor


class CopyLogits(NamedTuple):
    """`p(token) = c · [token was read] + (1 - c) · softmax(tokens)`, c the sigmoid of `copy`.

    Attributes:
        tokens: [B, T, V].
        copy: [B, T].
    """

    tokens: Tensor
    copy: Tensor


@part
class CopyHead(keras.layers.Layer):
    """`CopyLogits(tokens(x), x w + b)`: ELECTRA's ablation All-Tokens MLM.

    Args:
        tokens: factory of a head `(x, table) -> logits`.
        kernel_initializer: name or factory of the initial values of w.

    Source: Clark et al. 2020 (https://arxiv.org/abs/2003.10555), section 3.4.
    """

    logical_axes: ClassVar = {"copy/kernel": ("embed", "unmodeled")}

    def __init__(
        self,
        *,
        tokens: Factory,
        kernel_initializer: Initializer = "glorot_uniform",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.tokens = make(tokens, "tokens")
        self.kernel_initializer = initializer(kernel_initializer)

    def build(self, x_shape: Shape, table_shape: Shape) -> None:
        del x_shape, table_shape
        self.copy = Dense(1, kernel_initializer=self.kernel_initializer, name="copy")

    def call(self, x: Tensor, table: Tensor, segments: Tensor = None) -> CopyLogits:
        del segments
        copy = self.copy(ops.cast(x, self.compute_dtype))[..., 0]
        return CopyLogits(self.tokens(x, table), copy)
