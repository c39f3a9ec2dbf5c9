"""Bytes of activations that are saved for the backward pass, from shapes alone."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import keras
from keras import ops

from lm.abstract import on_shapes
from lm.mesh.axes import Split
from lm.mesh.sharding_propagation import ShardingPropagation
from lm.types import Features

LAYER = re.compile(r"[\w/()]*?layer_\d+_\d+")


class SavedActivations(NamedTuple):
    """Bytes of activations on one device.

    Attributes:
        all: everything that automatic differentiation saves; XLA may save less.
        remat: with every residual of a stack rematerialised (`residual.Remat`): the inputs of the
            residuals, the activations inside the largest one, and those outside of all of them.
    """

    all: int
    remat: int


def saved_activations(
    model: Callable[[], Any],
    *,
    features: Features,
    splits: Mapping[str, Split],
    sizes: Mapping[str, int],
) -> SavedActivations:
    """Return what a step saves on one device; nothing is allocated.

    The loss is the log-sum-exp of the outputs, which saves what a cross entropy does.

    Args:
        model: factory of the model.
        features: with the shapes of the rows on one device.
        splits: path -> split of a weight.
        sizes: mesh axis -> number of devices.
    """
    with on_shapes("MODEL"):
        built = model()
        built({n: keras.KerasTensor(x.shape, x.dtype) for n, x in features.items()})
        weights, others = built.trainable_variables, built.non_trainable_variables
    program = jax.make_jaxpr(_backward(built, weights, others))(
        [jax.ShapeDtypeStruct(tuple(v.shape), v.dtype) for v in weights],
        [jax.ShapeDtypeStruct(tuple(v.shape), v.dtype) for v in others],
        {n: jax.ShapeDtypeStruct(tuple(x.shape), x.dtype) for n, x in features.items()},
    ).jaxpr
    propagation = ShardingPropagation(program, [splits[v.path] for v in weights], sizes)
    return SavedActivations(*_counted(program, propagation))


def _backward(built: Any, weights: Sequence[Any], others: Sequence[Any]) -> Callable[..., Any]:
    """Return a function whose outputs are the arrays that the backward pass reads."""

    def loss(values: Any, states: Any, batch: Any) -> Any:
        mapping = [*zip(weights, values, strict=True), *zip(others, states, strict=True)]
        with keras.StatelessScope(state_mapping=mapping):
            outputs = built(batch, training=True)
        return ops.sum(ops.logsumexp(ops.cast(outputs, "float32"), axis=-1))

    def backward(values: Any, states: Any, batch: Any) -> list[Any]:
        pullback = jax.vjp(lambda v: loss(v, states, batch), values)[1]
        return jax.tree.leaves(pullback)

    return backward


def _counted(program: Any, propagation: ShardingPropagation) -> tuple[int, int]:
    """Return the bytes saved, and saved with every residual rematerialised."""
    layer_of = {
        variable: _layer(equation) for equation in program.eqns for variable in equation.outvars
    }
    inside: dict[str, int] = defaultdict(int)
    outputs = {
        v
        for v in propagation.variables(program.outvars)
        if v in layer_of and propagation.is_data(v)
    }
    for variable in outputs:
        inside[layer_of[variable]] += propagation.bytes(variable)
    entering = {
        variable
        for equation in program.eqns
        if (layer := _layer(equation))
        for variable in propagation.variables(equation.invars)
        if variable in layer_of and layer_of[variable] != layer and propagation.is_data(variable)
    }
    outside = inside.pop("", 0)
    residual_inputs = sum(
        propagation.bytes(v) for v in entering - {v for v in outputs if not layer_of[v]}
    )
    largest = max(inside.values(), default=0)
    return outside + sum(inside.values()), outside + residual_inputs + largest


def _layer(equation: Any) -> str:
    """Return the residual of a stack that an equation belongs to, by its name scope; or ""."""
    found = LAYER.match(str(equation.source_info.name_stack))
    return found[0] if found else ""
