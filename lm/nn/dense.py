"""Dense layers, as feed-forwards and attention make them."""

from typing import Any

import keras

from lm.nn.branch import Factory
from lm.nn.kernels import product
from lm.types import Layer, Shape, Tensor, Training


class Dense(keras.layers.Dense):
    """`activation(x W + b)`, [..., D] → [..., F], with the product of `kernels.product`."""

    def call(self, inputs: Tensor, training: Training = None) -> Tensor:
        del training
        x = product(inputs, self.kernel)
        x = x if self.bias is None else x + self.bias
        return x if self.activation is None else self.activation(x)


def make_dense(
    name: str,
    units: int,
    kernel_initializer: Any,
    *,
    use_bias: bool,
    factory: Factory | None = None,
) -> Layer:
    """Returns a dense layer, or one that another factory makes of the same arguments."""
    return (factory or Dense)(
        units, use_bias=use_bias, kernel_initializer=kernel_initializer, name=name
    )


def built_dense(
    name: str, input_shape: Shape, units: int, kernel_initializer: Any, *, use_bias: bool = False
) -> Layer:
    """Returns a dense layer that has its variables already, for inputs of a shape."""
    layer = make_dense(name, units, kernel_initializer, use_bias=use_bias)
    layer.build(input_shape)
    return layer
