"""Logical axes of variables, as their layers declare them, and the rules that shard them.

A layer declares `logical_axes = {"kernel": ("embed", "mlp")}`: a regular expression for the path of
a variable inside the layer, and a name for each dimension. The meaning of an axis may depend on the
owner of a layer, so what an owner declares overrides what its sublayers declare.

The names are T5X's: vocab, embed, mlp, heads, kv, joined_kv (heads times kv), relpos_buckets,
abspos_buckets, expert, expert_mlp, expert_replicas (groups of tokens), unmodeled; `batch` is the
batch axis of activations. A rule maps a logical axis to a mesh axis; a split is the mesh axis of
each dimension of an array, None for a replicated dimension.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from lm.errors import ConfigError
from lm.types import Shape

Axes = tuple[str, ...]
Split = tuple[str | None, ...]
Rules = Sequence[tuple[str, str | Sequence[str] | None]]

BATCH, JOINED = "batch", "joined_kv"
NAMES = frozenset(
    "vocab embed mlp heads kv joined_kv relpos_buckets abspos_buckets "
    "expert expert_mlp expert_replicas unmodeled".split()
)
# The macro to change when a size is not divisible.
MACROS = {
    "batch": "BATCH_SIZE",
    "vocab": "VOCABULARY_SIZE",
    "embed": "HIDDEN_DIM",
    "mlp": "INTERMEDIATE_DIM",
    "heads": "NUM_HEADS",
    "joined_kv": "NUM_HEADS",
    "expert": "NUM_EXPERTS",
    "expert_mlp": "INTERMEDIATE_DIM",
}


class Layout(NamedTuple):
    """How one variable is laid out on a mesh.

    Attributes:
        shape: global shape of the variable.
        axes: its logical axes; empty if none are declared.
        split: the mesh axis of each dimension.
    """

    shape: Shape
    axes: Axes
    split: Split


def declared(model: Any) -> dict[str, Axes]:
    """Returns path -> logical axes of the variables of a built model for which axes are declared.

    Raises:
        ConfigError: two patterns of one layer match the same variable.
    """
    found: dict[str, Axes] = {}
    for layer in model._flatten_layers():  # owners come before their sublayers
        if table := getattr(layer, "logical_axes", None):
            inside = {v.path: v.path.removeprefix(f"{layer.path}/") for v in layer.variables}
            names = {path: _matching(end, table, layer.path) for path, end in inside.items()}
            found = {path: axes for path, axes in names.items() if axes} | found
    return found


def bound(paths: Iterable[str], table: Mapping[str, Axes]) -> dict[str, Axes]:
    """Returns path -> logical axes of the variables whose paths end with a pattern of a table.

    Example:
        >>> bound(["gpt/head/kernel", "gpt/ahead/kernel"], {"head/kernel": ("embed", "vocab")})
        {'gpt/head/kernel': ('embed', 'vocab')}
    """
    ends = {rf"(?:.*/)?(?:{end})": names for end, names in table.items()}
    found = {path: _matching(path, ends, "mesh.Mesh.axes") for path in paths}
    return {path: axes for path, axes in found.items() if axes}


def outputs(model: Any) -> dict[str, Axes]:
    """Returns path -> logical axes of layer outputs for which an owner declares `output_axes`."""
    return {
        f"{layer.path}/{name}": names
        for layer in model._flatten_layers()
        for name, names in getattr(layer, "output_axes", {}).items()
    }


def _matching(path: str, table: Mapping[str, Axes], owner: str) -> Axes:
    """Returns the axes of the only pattern of a table that matches a path, () if none does."""
    found = [pattern for pattern in table if re.fullmatch(pattern, path)]
    if len(found) > 1:
        raise ConfigError(f"{path}: {' and '.join(found)} of {owner} both match; keep one")
    return tuple(table[found[0]]) if found else ()


def split(axes: Axes, rules: Rules) -> Split:
    """Returns the mesh axis of each logical axis: the first rule wins; a mesh axis is used once.

    Example:
        >>> rules = [("heads", "model"), ("embed", "model"), ("embed", "data"), ("vocab", "model")]
        >>> split(("embed", "heads"), rules), split(("vocab", "embed"), rules)
        (('data', 'model'), (None, 'model'))

    Source: the priority of T5X's `logical_axis_rules` (Roberts et al. 2022,
    https://arxiv.org/abs/2203.17189).
    """
    found: dict[int, str | None] = {}
    for name, mesh_axis in rules:
        for i in [i for i, axis in enumerate(axes) if axis == name and i not in found]:
            if isinstance(mesh_axis, str) and mesh_axis not in found.values():
                found[i] = mesh_axis
            elif mesh_axis is None:
                found[i] = None
    return tuple(found.get(i) for i in range(len(axes)))


def lay_out(
    shapes: Mapping[str, Shape],
    *,
    axes: Mapping[str, Axes],
    rules: Rules,
    sizes: Mapping[str, int],
) -> dict[str, Layout]:
    """Returns path -> layout of every variable.

    Args:
        shapes: path -> shape.
        axes: path -> logical axes; optional for vectors.
        rules: logical axis -> mesh axis.
        sizes: mesh axis -> number of devices.

    Raises:
        ConfigError: a matrix has no axes, or a dimension that a rule splits is not divisible: it is
            never silently replicated.
    """
    return {
        path: _layout(path, tuple(shape), axes.get(path, ()), rules, sizes)
        for path, shape in shapes.items()
    }


def _layout(path: str, shape: Shape, axes: Axes, rules: Rules, sizes: Mapping[str, int]) -> Layout:
    """Returns the layout of one variable."""
    _check_rank(path, shape, axes)
    mesh_axes = split(axes, rules) if axes else (None,) * len(shape)
    for axis, mesh_axis, size in zip(axes, mesh_axes, shape, strict=bool(axes)):
        if mesh_axis is not None and size % sizes[mesh_axis]:
            raise ConfigError(
                f"{path} {list(shape)}: {size} along '{axis}' do not divide by the mesh axis "
                f"'{mesh_axis}' of {sizes[mesh_axis]}; change {MACROS.get(axis, 'the size')}, the "
                f"mesh's shape, or put ('{axis}', None) first in mesh.Mesh.rules"
            )
    return Layout(shape, axes, mesh_axes)


def _check_rank(path: str, shape: Shape, axes: Axes) -> None:
    """Refuses axes that do not match the shape; a vector may have none."""
    if axes and len(axes) != len(shape):
        raise ConfigError(f"{path} {list(shape)}: its logical axes are {len(axes)}, {axes}")
    if not axes and len(shape) > 1:
        end = "/".join(path.split("/")[-2:])
        names = ", ".join(f"'<axis {i}>'" for i in range(len(shape)))
        raise ConfigError(
            f"{path} {list(shape)} has no logical axes, so no rule can split it; declare "
            f"logical_axes in its layer or bind mesh.Mesh.axes = {{'{end}': ({names})}}"
        )


def refuse_split_heads(model: Any, layouts: Mapping[str, Layout], sizes: Mapping[str, int]) -> None:
    """Refuses a mesh that would split a head over devices: H·K is divisible, but H is not.

    Args:
        model: a built model or objective.
        layouts: path -> layout of each of its variables.
        sizes: mesh axis -> number of devices.

    Raises:
        ConfigError: naming the layer and the bindings.
    """
    for layer in model._flatten_layers():
        # Projections have them in their `HeadOptions`, other layers in the layer itself.
        heads: Any = getattr(getattr(layer, "options", layer), "num_heads", None)
        for axis in () if heads is None else _mesh_axes_of_heads(layer, layouts):
            if heads % sizes[axis]:
                raise ConfigError(
                    f"{layer.path}: {heads} heads do not divide by the mesh axis '{axis}' of "
                    f"{sizes[axis]}, so that a head would lie on several devices; make NUM_HEADS a "
                    f"multiple of {sizes[axis]} or {axis.upper()}_DEVICES a divisor of {heads}, or "
                    f"put ('{JOINED}', None) first in mesh.Mesh.rules"
                )


def _mesh_axes_of_heads(layer: Any, layouts: Mapping[str, Layout]) -> list[str]:
    """Returns the mesh axes over which a layer's heads are split."""
    pairs = [
        pair
        for variable in layer.variables
        for pair in zip(layouts[variable.path].axes, layouts[variable.path].split, strict=False)
    ]
    return [mesh_axis for axis, mesh_axis in pairs if axis == JOINED and mesh_axis is not None]
