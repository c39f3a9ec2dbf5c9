"""How much a training step keeps of the forward pass for the backward pass, from shapes alone."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import keras
from keras import ops

from lm.abstract import on_shapes
from lm.mesh.axes import Split
from lm.mesh.flow import Flow

LAYER = re.compile(r"[\w/()]*?layer_\d+_\d+")


class Kept(NamedTuple):
    """Bytes of activations on one device.

    Attributes:
        all: everything that automatic differentiation keeps; XLA may keep less.
        remat: where every residual of a stack is computed again (`residual.Remat`): what enters
            the residuals, the largest one's inside, and what lies outside of them.
    """

    all: int
    remat: int


def kept(
    model: Callable[[], Any],
    *,
    features: Mapping[str, Any],
    splits: Mapping[str, Split],
    sizes: Mapping[str, int],
) -> Kept:
    """Return what a step keeps on one device; nothing is allocated.

    The loss is the log-sum-exp of the outputs, which keeps what a cross entropy does.

    Args:
        model: factory of the model.
        features: shapes of the rows of one device.
        splits: path -> mesh axis of every dimension of a weight.
        sizes: mesh axis -> number of devices.
    """
    with on_shapes("MODEL"):
        made = model()
        made({n: keras.KerasTensor(x.shape, x.dtype) for n, x in features.items()})
        weights, others = made.trainable_variables, made.non_trainable_variables
    program = jax.make_jaxpr(_backward(made, weights, others))(
        [jax.ShapeDtypeStruct(tuple(v.shape), v.dtype) for v in weights],
        [jax.ShapeDtypeStruct(tuple(v.shape), v.dtype) for v in others],
        {n: jax.ShapeDtypeStruct(tuple(x.shape), x.dtype) for n, x in features.items()},
    ).jaxpr
    flow = Flow(program, [splits[v.path] for v in weights], sizes)
    return Kept(*_counted(program, flow))


def _backward(made: Any, weights: Sequence[Any], others: Sequence[Any]) -> Callable[..., Any]:
    """Return a function whose outputs are what the backward pass reads."""

    def loss(values: Any, states: Any, batch: Any) -> Any:
        mapping = [*zip(weights, values, strict=True), *zip(others, states, strict=True)]
        with keras.StatelessScope(state_mapping=mapping):
            outputs = made(batch, training=True)
        return ops.sum(ops.logsumexp(ops.cast(outputs, "float32"), axis=-1))

    def backward(values: Any, states: Any, batch: Any) -> list[Any]:
        pullback = jax.vjp(lambda v: loss(v, states, batch), values)[1]
        return jax.tree.leaves(pullback)

    return backward


def _counted(program: Any, flow: Flow) -> tuple[int, int]:
    """Return the bytes kept, and kept with every residual computed again."""
    layer_of = {
        variable: _layer(equation) for equation in program.eqns for variable in equation.outvars
    }
    inside: dict[str, int] = defaultdict(int)
    outputs = {v for v in flow.variables(program.outvars) if v in layer_of and flow.is_data(v)}
    for variable in outputs:
        inside[layer_of[variable]] += flow.bytes(variable)
    entering = {
        variable
        for equation in program.eqns
        if (layer := _layer(equation))
        for variable in flow.variables(equation.invars)
        if variable in layer_of and layer_of[variable] != layer and flow.is_data(variable)
    }
    outside = inside.pop("", 0)
    borders = sum(flow.bytes(v) for v in entering - {v for v in outputs if not layer_of[v]})
    largest = max(inside.values(), default=0)
    return outside + sum(inside.values()), outside + borders + largest


def _layer(equation: Any) -> str:
    """Return the residual of a stack that an equation belongs to, by its name scope; or ""."""
    found = LAYER.match(str(equation.source_info.name_stack))
    return found[0] if found else ""
