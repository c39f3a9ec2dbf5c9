"""FLOPs of a forward pass, counted in the engine's graph without running it."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import keras

from lm.nn.query_blocks import at_once
from lm.nn.stack import times
from lm.types import Features

TRAINING_PASSES = 3  # forward, and backward for the activations and for the weights


def matmul_flops(call: Callable[[Any], Any], features: Features) -> int:
    """Returns the FLOPs of all matrix products and convolutions of a call.

    A multiply-add counts as 2. The call is only traced: nothing is allocated or run, so it works
    inside `lm.abstract.on_shapes` on models of any size.

    Args:
        call: function of the features, such as a model.
        features: for each anything with its shape and dtype.
    """
    count = {"tensorflow": _tensorflow_flops, "jax": _jax_flops}[keras.backend.backend()]
    with at_once():
        return count(call, features)


def _tensorflow_flops(call: Callable[[Any], Any], features: Features) -> int:
    import tensorflow as tf

    graph = tf.__internal__.FuncGraph("count")
    with graph.as_default():
        call({name: tf.compat.v1.placeholder(x.dtype, x.shape) for name, x in features.items()})
    return sum(times(each.name) * _tensorflow_operation(each) for each in graph.get_operations())


def _tensorflow_operation(operation: Any) -> int:
    shapes = [tuple(tensor.shape) for tensor in operation.inputs]
    match operation.type:
        case "MatMul":
            inner = shapes[0][0 if operation.get_attr("transpose_a") else 1]
        case "BatchMatMulV2":
            inner = shapes[0][-2 if operation.get_attr("adj_x") else -1]
        case "Einsum":
            return 2 * _einsum_size(operation.get_attr("equation").decode(), shapes)
        case "Conv2D":
            inner = math.prod(shapes[1][:-1])
        case "DepthwiseConv2dNative":
            inner = math.prod(shapes[1][:2])
        case _:
            return 0
    return 2 * inner * math.prod(operation.outputs[0].shape)


def _einsum_size(equation: str, shapes: list[tuple[int, ...]]) -> int:
    terms = equation.split("->")[0].split(",")
    sizes = {
        letter: size
        for term, shape in zip(terms, shapes, strict=True)
        for letter, size in zip(term, shape, strict=True)
    }
    return math.prod(sizes.values())


def _jax_flops(call: Callable[[Any], Any], features: Features) -> int:
    import jax

    shapes = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in features.items()}
    return sum(
        repeats * _jax_equation(equation)
        for repeats, equation in _jax_equations(jax.make_jaxpr(call)(shapes).jaxpr, 1)
    )


def _jax_equations(jaxpr: Any, repeats: int) -> Iterator[tuple[int, Any]]:
    """Yields the equations of a program and its subprograms, with how often each is executed."""
    from jax.extend.core import jaxprs_in_params

    for equation in jaxpr.eqns:
        here = repeats * times(str(equation.source_info.name_stack))
        yield here, equation
        inner = here * equation.params.get("length", 1)
        for program in jaxprs_in_params(equation.params):
            yield from _jax_equations(program, inner)


def _jax_equation(equation: Any) -> int:
    shape = equation.outvars[0].aval.shape if equation.outvars else ()
    match equation.primitive.name:
        case "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            inner = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        case "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            inner = math.prod(kernel) // kernel[equation.params["dimension_numbers"].rhs_spec[0]]
        case _:
            return 0
    return 2 * inner * math.prod(shape)
