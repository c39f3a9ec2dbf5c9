"""Sharding propagation: how XLA would split every array of a program, and which depend on data.

Splits propagate forward from the weights: a product keeps the splits of its free dimensions, a sum
over a split dimension ends it (that is the all-reduce), any other operation keeps the splits of
dimensions that keep index and size.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jax.extend.core import Literal

from lm.mesh.axes import Split
from lm.types import Shape

Inputs = list[tuple[Shape, Split]]


class ShardingPropagation:
    """The split of every array of a program, and whether it depends on data.

    Args:
        program: a jaxpr whose first inputs are the weights; all others are data.
        splits: of the weights.
        sizes: mesh axis -> number of devices.
    """

    def __init__(self, program: Any, splits: Sequence[Split], sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)
        self.splits: dict[Any, Split] = dict(zip(program.invars, splits, strict=False))
        self._data = set(program.invars[len(splits) :])
        self._forward(program)
        self._backward(program)

    def is_data(self, variable: Any) -> bool:
        """Whether an array depends on anything but weights."""
        return variable in self._data

    def bytes(self, variable: Any) -> int:
        """Return the bytes of an array on one device."""
        aval = variable.aval
        parts = math.prod(self.sizes[axis] for axis in self.split(variable) if axis)
        return math.prod(aval.shape) * aval.dtype.itemsize // parts

    def split(self, variable: Any) -> Split:
        """Return the mesh axis of every dimension."""
        unsplit = (None,) * len(variable.aval.shape)
        return unsplit if isinstance(variable, Literal) else self.splits.get(variable, unsplit)

    @staticmethod
    def variables(inputs: Iterable[Any]) -> list[Any]:
        """Return the inputs that are not constants."""
        return [x for x in inputs if not isinstance(x, Literal)]

    def _forward(self, program: Any) -> None:
        """Propagate along the equations."""
        for equation in program.eqns:
            inputs = self.variables(equation.invars)
            if any(v in self._data for v in inputs):
                self._data.update(equation.outvars)
            inner = _inner(equation)
            if inner is not None and len(inner.invars) == len(equation.invars):
                self._enter(equation, inner)
            else:
                for out in equation.outvars:
                    self.splits[out] = self._rule(equation, out)

    def _enter(self, equation: Any, inner: Any) -> None:
        """Propagate through the program inside an equation, from its inputs to its outputs."""
        pairs = zip(inner.invars, equation.invars, strict=True)
        known = [(i, self.split(o)) for i, o in pairs if not isinstance(o, Literal)]
        self.splits.update({i: s for i, s in known if len(s) == len(i.aval.shape)})
        self._forward(inner)
        for out, found in zip(equation.outvars, inner.outvars, strict=False):
            if not isinstance(found, Literal) and len(found.aval.shape) == len(out.aval.shape):
                self.splits[out] = self.split(found)

    def _backward(self, program: Any) -> None:
        """Give an operand of the shape of a split result, such as a mask, the same split."""
        for equation in reversed(program.eqns):
            for out in equation.outvars:
                for x in self.variables(equation.invars):
                    if x.aval.shape == out.aval.shape and not any(self.split(x)):
                        self.splits[x] = self.split(out)

    def _rule(self, equation: Any, out: Any) -> Split:
        """Return the split of an output."""
        rule = _RULES.get(equation.primitive.name, _same_size)
        inputs = [(tuple(x.aval.shape), self.split(x)) for x in equation.invars]
        found = rule(inputs, tuple(out.aval.shape), equation.params)
        return tuple(
            axis if axis and axis not in found[:i] and size % self.sizes[axis] == 0 else None
            for i, (axis, size) in enumerate(zip(found, out.aval.shape, strict=True))
        )


def _inner(equation: Any) -> Any:
    """Return the program inside an equation that runs it once, or None."""
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        found = equation.params.get(name)
        if found is not None and equation.primitive.name not in ("scan", "while", "cond"):
            return getattr(found, "jaxpr", found)
    return None


def _same_size(inputs: Inputs, out: Shape, params: Mapping[str, Any]) -> Split:
    """Keep the splits of dimensions that keep index and size."""
    found: list[str | None] = [None] * len(out)
    for shape, split in inputs:
        if len(shape) == len(out):
            found = [
                f or (s if a == b else None)
                for f, s, a, b in zip(found, split, shape, out, strict=True)
            ]
    return tuple(found)


def _dot_general(inputs: Inputs, out: Shape, params: Mapping[str, Any]) -> Split:
    (left_sum, right_sum), (left_batch, right_batch) = params["dimension_numbers"]
    (_, left), (_, right) = inputs[:2]
    batch = [left[i] or right[k] for i, k in zip(left_batch, right_batch, strict=True)]
    free = [s for i, s in enumerate(left) if i not in (*left_sum, *left_batch)]
    free += [s for i, s in enumerate(right) if i not in (*right_sum, *right_batch)]
    return tuple(batch + free)


def _broadcast(inputs: Inputs, out: Shape, params: Mapping[str, Any]) -> Split:
    shape, split = inputs[0]
    found: list[str | None] = [None] * len(out)
    for i, k in enumerate(params["broadcast_dimensions"]):
        found[k] = split[i] if shape[i] == out[k] else None
    return tuple(found)


def _transpose(inputs: Inputs, out: Shape, params: Mapping[str, Any]) -> Split:
    return tuple(inputs[0][1][i] for i in params["permutation"])


def _reduce(inputs: Inputs, out: Shape, params: Mapping[str, Any]) -> Split:
    removed = params.get("axes", params.get("dimensions", ()))
    remaining = tuple(s for i, s in enumerate(inputs[0][1]) if i not in removed)
    return remaining if len(remaining) == len(out) else (None,) * len(out)


def _reshape(inputs: Inputs, out: Shape, params: Mapping[str, Any]) -> Split:
    """A split stays if its dimension is the outermost of those that are merged or divided."""
    shape, split = inputs[0]
    found: list[str | None] = [None] * len(out)
    for i, axis in enumerate(split):
        before = math.prod(shape[:i])
        # The dimension of the output that begins where dimension i of the input does.
        same = [k for k, size in enumerate(out) if math.prod(out[:k]) == before and size > 1]
        if axis and same:
            found[same[0]] = axis
    return tuple(found)


def _gather(inputs: Inputs, out: Shape, params: Mapping[str, Any]) -> Split:
    """Rows of a table: the dimensions that are not indexed keep their split."""
    (_, split), numbers = inputs[0], params["dimension_numbers"]
    removed = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    remaining = [s for i, s in enumerate(split) if i not in removed]
    found: list[str | None] = [None] * len(out)
    for k, axis in zip(numbers.offset_dims, remaining, strict=True):
        found[k] = axis
    return tuple(found)


_RULES = {
    "dot_general": _dot_general,
    "broadcast_in_dim": _broadcast,
    "transpose": _transpose,
    "reshape": _reshape,
    "gather": _gather,
    "squeeze": _reduce,
    **{f"reduce_{name}": _reduce for name in ("sum", "max", "min", "and", "or")},
    "argmax": _reduce,
}
