"""Heads and a mesh: each lies on one device, for what one attends to is computed in one piece."""

from collections.abc import Mapping
from typing import Any

from lm.errors import ConfigError
from lm.mesh.axes import Layout

JOINED = "joined_kv"


def refuse_cut(made: Any, layouts: Mapping[str, Layout], sizes: Mapping[str, int]) -> None:
    """Refuse a mesh that would split a head over devices: H·K divides, but H does not.

    Args:
        made: a built model or objective.
        layouts: path -> layout of each of its variables.
        sizes: mesh axis -> number of devices.

    Raises:
        ConfigError: naming the layer and the bindings.
    """
    for layer in made._flatten_layers():
        heads: Any = getattr(layer, "num_heads", None)
        for axis in () if heads is None else _split_over(layer, layouts):
            if heads % sizes[axis]:
                raise ConfigError(
                    f"{layer.path}: {heads} heads do not divide by the mesh axis '{axis}' of "
                    f"{sizes[axis]}, so that a head would lie on several devices; make NUM_HEADS a "
                    f"multiple of {sizes[axis]} or {axis.upper()}_DEVICES a divisor of {heads}, or "
                    f"put ('{JOINED}', None) first in mesh.Mesh.rules"
                )


def _split_over(layer: Any, layouts: Mapping[str, Layout]) -> list[str]:
    """Return the mesh axes over which a layer's heads are split."""
    pairs = [
        pair
        for variable in layer.variables
        for pair in zip(layouts[variable.path].axes, layouts[variable.path].split, strict=False)
    ]
    return [place for name, place in pairs if name == JOINED and place is not None]
