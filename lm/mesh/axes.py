"""The logical axes of every variable, by the end of its path, and the rules that split them.

The names are T5X's: vocab, embed, mlp, heads, kv, joined_kv (heads times kv), relpos_buckets,
abspos_buckets, expert, expert_mlp, expert_replicas (groups of tokens), unmodeled; `batch` is the
rows of a batch. A rule maps a logical axis to a mesh axis; a split is the mesh axis of each
dimension of an array, None where it is not split.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lm.errors import ConfigError
from lm.types import Shape

Axes = tuple[str, ...]
Split = tuple[str | None, ...]
Rules = Sequence[tuple[str, str | Sequence[str] | None]]

BATCH, JOINED = "batch", "joined_kv"
AXES: dict[str, Axes] = {
    r"types/embeddings": ("unmodeled", "embed"),
    r"embedding/embeddings": ("vocab", "embed"),
    r"learned_position/embeddings": ("abspos_buckets", "embed"),
    r"relative_bias/embeddings": ("relpos_buckets", "heads"),
    r"heads/(query|key|value)/kernel": ("embed", "joined_kv"),
    r"heads/(query|key|value)/bias": ("joined_kv",),
    r"heads/output/kernel": ("joined_kv", "embed"),
    r"heads/mix/kernel": ("unmodeled", "joined_kv"),
    r"after_(query|key|value)/taps": ("unmodeled", "heads", "kv"),
    r"relative_attention/(query|key|value)/kernel": ("embed", "joined_kv"),
    r"relative_attention/(key|value)/bias": ("joined_kv",),
    r"relative_attention/output/kernel": ("joined_kv", "embed"),
    r"relative_attention/(content|distance|type)_bias": ("heads", "kv"),
    r"relative_attention/distance_kernel": ("embed", "heads", "kv"),
    r"relative_attention/type_embeddings": ("unmodeled", "heads", "kv"),
    r"(gated_)?feed_forward/(gate|hidden)/kernel": ("embed", "mlp"),
    r"(gated_)?feed_forward/(gate|hidden)/bias": ("mlp",),
    r"(gated_)?feed_forward/output/kernel": ("mlp", "embed"),
    r"gated_linear_unit/(value|gate)/kernel": ("embed", "unmodeled"),
    r"evolved_encoder_convolution/left/kernel": ("embed", "mlp"),
    r"evolved_encoder_convolution/right/kernel": ("unmodeled", "embed", "unmodeled"),
    r"evolved_decoder_convolution/(left|right)/taps": ("unmodeled", "embed", "unmodeled"),
    r"evolved_decoder_convolution/left/pointwise/kernel": ("embed", "mlp"),
    r"evolved_decoder_convolution/right/pointwise/kernel": ("embed", "unmodeled"),
    r"evolved_(encoder|decoder)_convolution/last/taps": ("unmodeled", "mlp", "unmodeled"),
    r"evolved_encoder_convolution/last/pointwise/kernel": ("mlp", "unmodeled"),
    r"evolved_decoder_convolution/last/pointwise/kernel": ("mlp", "embed"),
    r"unit/(gate|value)/kernel": ("embed", "mlp"),
    r"unit/(gate|value)/bias": ("mlp",),
    r"unit/base/kernel": ("embed", "kv"),
    r"unit/head_(scale|bias)": ("unmodeled", "kv"),
    r"unit/output/kernel": ("mlp", "embed"),
    r"router/scores/kernel": ("embed", "unmodeled"),
    r"(gating|primary|secondary)/(scores|noise)/kernel": ("embed", "unmodeled"),
    r"experts/(gate|hidden)/kernel": ("expert", "embed", "expert_mlp"),
    r"experts/(gate|hidden)/bias": ("expert", "expert_mlp"),
    r"experts/output/kernel": ("expert", "expert_mlp", "embed"),
    r"experts/output/bias": ("expert", "embed"),
    r"head/kernel": ("embed", "vocab"),
    r"head/bias": ("vocab",),
    r"head/dense/kernel": ("embed", "unmodeled"),
}
# The same for the outputs of layers, where XLA must not choose: tokens go to the devices of their
# experts, all to all.
OUTPUTS: dict[str, Axes] = {
    r"(to|from)_experts": ("expert", "expert_replicas", "unmodeled", "unmodeled"),
}
# The macro to change where a size does not divide.
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
        axes: its logical axes; empty where the table has none.
        split: the mesh axis of each dimension.
    """

    shape: Shape
    axes: Axes
    split: Split


def full_path(pattern: str) -> str:
    """Return the regular expression of all paths that end in the pattern, whole names only.

    >>> bool(re.fullmatch(full_path("head/kernel"), "gpt/head/kernel"))
    True
    >>> bool(re.fullmatch(full_path("head/kernel"), "gpt/ahead/kernel"))
    False
    """
    return rf"(?:.*/)?(?:{pattern})"


def split(axes: Axes, rules: Rules) -> Split:
    """Return the mesh axis of each logical axis: the first rule wins, a mesh axis is used once.

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
    table: Mapping[str, Axes],
    rules: Rules,
    sizes: Mapping[str, int],
) -> dict[str, Layout]:
    """Return path -> layout of every variable.

    Args:
        shapes: path -> shape.
        table: end of path, a regular expression -> logical axes.
        rules: logical axis -> mesh axis.
        sizes: mesh axis -> number of devices.

    Raises:
        ConfigError: a matrix that is not in the table, or a dimension that a rule splits and that
            does not divide: what a rule splits is never silently replicated.
    """
    return {
        path: _layout(path, tuple(shape), table, rules, sizes) for path, shape in shapes.items()
    }


def _layout(
    path: str,
    shape: Shape,
    table: Mapping[str, Axes],
    rules: Rules,
    sizes: Mapping[str, int],
) -> Layout:
    """Return the layout of one variable."""
    axes = _axes(path, shape, table)
    mesh_axes = split(axes, rules) if axes else (None,) * len(shape)
    for axis, mesh_axis, size in zip(axes, mesh_axes, shape, strict=bool(axes)):
        if mesh_axis is not None and size % sizes[mesh_axis]:
            raise ConfigError(
                f"{path} {list(shape)}: {size} along '{axis}' do not divide by the mesh axis "
                f"'{mesh_axis}' of {sizes[mesh_axis]}; change {MACROS.get(axis, 'the size')}, the "
                f"mesh's shape, or put ('{axis}', None) first in mesh.Mesh.rules"
            )
    return Layout(shape, axes, mesh_axes)


def _axes(path: str, shape: Shape, table: Mapping[str, Axes]) -> Axes:
    """Return the logical axes of a variable; a vector that is not in the table has none."""
    found = [pattern for pattern in table if re.fullmatch(full_path(pattern), path)]
    if len(found) > 1:
        raise ConfigError(f"{path}: {' and '.join(found)} of the mesh's axes both match; keep one")
    if found and len(table[found[0]]) != len(shape):
        raise ConfigError(
            f"{path} {list(shape)}: '{found[0]}' of the mesh's axes names {len(table[found[0]])} "
            "axes"
        )
    if not found and len(shape) > 1:
        end = "/".join(path.split("/")[-2:])
        names = ", ".join(f"'<axis {i}>'" for i in range(len(shape)))
        raise ConfigError(
            f"{path} {list(shape)} has no logical axes, so no rule can split it; bind "
            f"mesh.Mesh.axes = {{'{end}': ({names})}}"
        )
    return table[found[0]] if found else ()


def refuse_split_heads(model: Any, layouts: Mapping[str, Layout], sizes: Mapping[str, int]) -> None:
    """Refuse a mesh that would split a head over devices: H·K divides, but H does not.

    Args:
        model: a built model or objective.
        layouts: path -> layout of each of its variables.
        sizes: mesh axis -> number of devices.

    Raises:
        ConfigError: naming the layer and the bindings.
    """
    for layer in model._flatten_layers():
        heads: Any = getattr(layer, "num_heads", None)
        for axis in () if heads is None else _mesh_axes_of_heads(layer, layouts):
            if heads % sizes[axis]:
                raise ConfigError(
                    f"{layer.path}: {heads} heads do not divide by the mesh axis '{axis}' of "
                    f"{sizes[axis]}, so that a head would lie on several devices; make NUM_HEADS a "
                    f"multiple of {sizes[axis]} or {axis.upper()}_DEVICES a divisor of {heads}, or "
                    f"put ('{JOINED}', None) first in mesh.Mesh.rules"
                )


def _mesh_axes_of_heads(layer: Any, layouts: Mapping[str, Layout]) -> list[str]:
    """Return the mesh axes over which a layer's heads are split."""
    pairs = [
        pair
        for variable in layer.variables
        for pair in zip(layouts[variable.path].axes, layouts[variable.path].split, strict=False)
    ]
    return [mesh_axis for axis, mesh_axis in pairs if axis == JOINED and mesh_axis is not None]
