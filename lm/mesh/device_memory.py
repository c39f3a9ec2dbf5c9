"""The memory that a training step needs on each device of a mesh, from shapes alone."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import keras

from lm.abstract import on_shapes
from lm.errors import ConfigError
from lm.mesh.axes import Layout, Split
from lm.mesh.mesh import REMAINING, Mesh
from lm.mesh.saved_activations import saved_activations
from lm.models.model import token_features
from lm.types import Shape

_FLOAT32 = 4  # bytes; gradients are summed in float32
_MEBIBYTE = 2**20


class DeviceMemory(NamedTuple):
    """Bytes on one device.

    Attributes:
        devices: number of devices.
        rows: of the batch, on one device.
        weights: trainable or not.
        gradients: one float32 per weight.
        slots: of the optimizer, None if no optimizer is given.
        averages: of the weights, if the optimizer keeps them.
        activations: saved for the backward pass, an upper bound: XLA may save less.
        activations_remat: the same with every residual rematerialised.
    """

    devices: int
    rows: int
    weights: int
    gradients: int
    slots: int | None
    averages: int
    activations: int
    activations_remat: int

    @property
    def state(self) -> int:
        """Everything but the activations."""
        return self.weights + self.gradients + (self.slots or 0) + self.averages


def device_memory(
    mesh: Mesh,
    *,
    model: Callable[[], Any],
    optimizer: Callable[[], Any] | None,
    rows: int,
    length: int,
) -> DeviceMemory:
    """Return what a step needs; nothing is allocated and no device is needed.

    Args:
        mesh: its shape must not have a -1.
        model: factory of the model.
        optimizer: factory of the optimizer.
        rows: of the global batch.
        length: tokens per sequence, on both sides of an encoder-decoder.

    Raises:
        ConfigError: the model or the batch does not fit the mesh.
    """
    if REMAINING in mesh.shape.values():
        names = [
            f"{name.upper()}_DEVICES" for name, size in mesh.shape.items() if size == REMAINING
        ]
        raise ConfigError(f"a mesh of how many devices? Set {names[0]}, as --gin.{names[0]}=4")
    mesh.check_rows(rows)
    local_rows = rows // mesh.shards
    features = token_features(jax.ShapeDtypeStruct((local_rows, length), "int32"))
    built_optimizer = None if optimizer is None else optimizer()
    with on_shapes("MODEL"):
        built = model()
        built({name: keras.KerasTensor(x.shape, "int32") for name, x in features.items()})
        layouts = mesh.layouts_of(built)
        trainable = {v.path: layouts[v.path] for v in built.trainable_variables}
        slots, averages = _optimizer(
            built_optimizer, built.trainable_variables, trainable, mesh.shape
        )
    weights = sum(
        _count(layouts[v.path].shape, layouts[v.path].split, mesh.shape) * _bytes(v)
        for v in built.variables
    )
    activations = saved_activations(
        model,
        features=features,
        splits={path: _without_batch_axes(layout.split, mesh) for path, layout in layouts.items()},
        sizes=mesh.shape,
    )
    return DeviceMemory(
        devices=math.prod(mesh.shape.values()),
        rows=local_rows,
        weights=weights,
        gradients=_FLOAT32 * sum(_count(x.shape, x.split, mesh.shape) for x in trainable.values()),
        slots=slots,
        averages=averages,
        activations=activations.all,
        activations_remat=activations.remat,
    )


def _optimizer(
    optimizer: Any,
    weights: list[Any],
    layouts: Mapping[str, Layout],
    sizes: Mapping[str, int],
) -> tuple[int | None, int]:
    """Return the bytes of slots and of averages on one device.

    A slot of its weight's shape is split as the weight is; rows, columns and counts are replicated.
    """
    if optimizer is None:
        return None, 0
    optimizer.rule.build(weights)
    by_name = {(path.replace("/", "_"), x.shape): x.split for path, x in layouts.items()}
    slots = 0
    for slot in optimizer.rule.variables:
        shape = tuple(slot.shape)
        splits = [
            split for (name, of), split in by_name.items() if of == shape and name in slot.path
        ]
        slots += _count(shape, splits[0] if splits else (None,) * len(shape), sizes) * _bytes(slot)
    if optimizer.average is None:
        return slots, 0
    averages = sum(
        _count(layouts[w.path].shape, layouts[w.path].split, sizes) * _bytes(w) for w in weights
    )
    return slots, averages


def _without_batch_axes(split: Split, mesh: Mesh) -> Split:
    """Return the split during a step: weights split over the axes of the batch are gathered."""
    return tuple(None if axis in mesh.batch_axes else axis for axis in split)


def _count(shape: Shape, split: Split, sizes: Mapping[str, int]) -> int:
    """Return how many numbers of a variable lie on one device."""
    return math.prod(shape) // math.prod(sizes[axis] for axis in split if axis)


def _bytes(variable: Any) -> int:
    """Return the bytes of one number."""
    return jax.numpy.dtype(keras.backend.standardize_dtype(variable.dtype)).itemsize


def table(found: DeviceMemory) -> str:
    """Return the bytes as a table, in MiB."""
    rows = {
        "weights": found.weights,
        "gradients": found.gradients,
        "slots": found.slots,
        "averages": found.averages or None,
        "activations saved": found.activations,
        "activations saved, remat": found.activations_remat,
        "total": found.state + found.activations,
        "total, remat": found.state + found.activations_remat,
    }
    lines = [
        f"{name:<24}{size / _MEBIBYTE:>14,.1f}" for name, size in rows.items() if size is not None
    ]
    return "\n".join([f"{'MiB on each device':<24}{'':>14}", *lines])


def verdict(found: DeviceMemory, gigabytes: float) -> str:
    """Return whether a step fits on devices of so many GB (10^9 bytes).

    Example:
        >>> verdict(DeviceMemory(16, 2, 5, 5, 1, 0, 30 * 10**9, 10**9), 32)
        'fits on 16 x 32 GB'
        >>> verdict(DeviceMemory(16, 2, 5, 5, 1, 0, 40 * 10**9, 10**9), 32)
        'fits on 16 x 32 GB with remat only'
    """
    capacity = gigabytes * 1e9
    devices = f"{found.devices} x {gigabytes:g} GB"
    if found.state + found.activations <= capacity:
        return f"fits on {devices}"
    if found.state + found.activations_remat <= capacity:
        return f"fits on {devices} with remat only"
    return f"does not fit on {devices}: split the model over more devices or take a smaller batch"
