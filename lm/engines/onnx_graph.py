"""One function of a model as an ONNX graph, with the weights in a separate file.

TensorFlow traces the function, tf2onnx translates the trace. Weights are arguments of the trace and
initializers of the graph: no number of them is copied, and several graphs read one file.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from onnx import TensorProto, helper

from lm.errors import UserError
from lm.types import Tensor

OPSET = 18
Tensors = Mapping[str, Tensor]


class Stored(NamedTuple):
    """Location of a weight: a file in the graph's folder, its first byte and number of bytes."""

    file: str
    offset: int
    size: int


def graph_of(
    function: Callable[[Tensors], Tensors],
    inputs: Mapping[str, np.ndarray],
    variables: Mapping[str, Any],
    stored: Mapping[str, Stored],
) -> onnx.ModelProto:
    """Returns the graph of a function, for the shapes of these inputs.

    Args:
        function: of tensors by name; reads the variables.
        inputs: by name, of the shapes and types that the graph is for.
        variables: by name.
        stored: the location of each variable.

    Raises:
        UserError: an operation has no counterpart in ONNX.
    """
    arrays = {**inputs, **variables}
    specs = [tf.TensorSpec(x.shape, x.dtype, name=f"x{i}") for i, x in enumerate(arrays.values())]
    names = {f"x{i}": name for i, name in enumerate(arrays)}

    def traced(*tensors: Tensor) -> dict[str, Tensor]:
        given = dict(zip(arrays, tensors, strict=True))
        values = [(variable, given[name]) for name, variable in variables.items()]
        with keras.StatelessScope(state_mapping=values):
            outputs = function({name: given[name] for name in inputs})
        names.update({f"y{i}": name for i, name in enumerate(outputs)})
        return {f"y{i}": tf.identity(y) for i, y in enumerate(outputs.values())}

    model, _ = tf2onnx.convert.from_function(
        tf.function(traced, autograph=False), specs, opset=OPSET, custom_op_handlers=HANDLERS
    )
    require_known(model.graph)
    rename(model.graph, names)
    keep_inputs(model.graph, inputs)
    used = {name for node in nodes(model.graph) for name in node.input}
    model.graph.initializer.extend(
        external(name, variables[name], at) for name, at in stored.items() if name in used
    )
    return model


def external(name: str, variable: Any, location: Stored) -> TensorProto:
    """Returns an initializer whose numbers are in another file."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(variable.dtype))
    tensor = TensorProto(name=name, dims=variable.shape, data_type=kind)
    tensor.data_location = TensorProto.EXTERNAL
    placement = {"location": location.file, "offset": location.offset, "length": location.size}
    for key, value in placement.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yields the nodes of a graph and of the bodies of its loops."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes(attribute.g)


def require_known(graph: onnx.GraphProto) -> None:
    """Checks that every operation is one of ONNX.

    Raises:
        UserError: one is not.
    """
    for node in nodes(graph):
        if not node.domain and not onnx.defs.has(node.op_type):
            raise UserError(f"ONNX has no {node.op_type}, which this model needs")


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Renames values in outputs and inputs of nodes; `x0:0` is `x0`."""

    def new(name: str) -> str:
        return names.get(name.removesuffix(":0"), name)

    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = new(value.name)
    for node in nodes(graph):
        node.input[:] = map(new, node.input)
        node.output[:] = map(new, node.output)


def keep_inputs(graph: onnx.GraphProto, names: Mapping[str, np.ndarray]) -> None:
    """Drops inputs of other names: they are initializers."""
    used_inputs = [value for value in graph.input if value.name in names]
    del graph.input[:]
    graph.input.extend(used_inputs)


def complementary_error(graph: Any, node: Any, name: str, args: Any) -> None:
    """`erfc(x) = 1 - erf(x)`."""
    del name, args
    dtype = graph.get_dtype(node.output[0])
    one = graph.make_const(f"{node.name}_one", np.ones((), helper.tensor_dtype_to_np_dtype(dtype)))
    error = graph.make_node("Erf", [node.input[0]]).output[0]
    graph.remove_node(node.name)
    replaced = [one.output[0], error]
    graph.make_node("Sub", replaced, name=node.name, outputs=node.output, dtypes=[dtype])


def dynamic_update(graph: Any, node: Any, name: str, args: Any) -> None:
    """The operand with an update from an index on; the index is clamped as in XLA."""
    del name, args
    operand, update, start = node.input
    shape, dtype = graph.get_shape(operand), graph.get_dtype(operand)
    counts = graph.get_shape(update)
    start = graph.make_node("Cast", [start], attr={"to": TensorProto.INT64}).output[0]
    last = np.array(shape, "int64") - np.array(counts, "int64")
    for bound, clamp in ((np.zeros_like(last), "Max"), (last, "Min")):
        const = graph.make_const(f"{node.name}_{clamp}", bound).output[0]
        start = graph.make_node(clamp, [start, const]).output[0]
    axes = [axis for axis, most in enumerate(last) if most]
    made = _updated(graph, operand, update, _Window(start, counts, axes))
    graph.remove_node(node.name)
    graph.make_node(
        "Identity", [made], name=node.name, outputs=node.output, shapes=[shape], dtypes=[dtype]
    )


class _Window(NamedTuple):
    """The replaced window: its first index, its size, and the axes along which it is shorter."""

    start: str
    size: list[int]
    axes: list[int]


def _updated(graph: Any, operand: str, update: str, window: _Window) -> str:
    """Returns the parts before the window, the window, and the parts after it, axis by axis."""
    if not window.axes:
        return update
    axis, *rest = window.axes

    def const(value: int) -> str:
        name = tf2onnx.utils.make_name("bound")
        return graph.make_const(name, np.array([value], "int64")).output[0]

    def cut(begin: str, end: str) -> str:
        return graph.make_node("Slice", [operand, begin, end, const(axis)]).output[0]

    begin = graph.make_node("Gather", [window.start, const(axis)]).output[0]
    end = graph.make_node("Add", [begin, const(window.size[axis])]).output[0]
    middle = cut(begin, end) if rest else update
    inner = _updated(graph, middle, update, window._replace(axes=rest))
    parts = [cut(const(0), begin), inner, cut(end, const(np.iinfo("int64").max))]
    return graph.make_node("Concat", parts, attr={"axis": axis}).output[0]


HANDLERS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "Erfc": (complementary_error, []),
    "XlaDynamicUpdateSlice": (dynamic_update, []),
}
"""Operations of TensorFlow that tf2onnx lacks."""
