"""The memory of a training step on each device of a mesh, as reported by JAX's compiler.

The actual training step is traced on shapes alone and compiled for as many CPU devices as the mesh
has; nothing is allocated, and no accelerator is needed.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax

from lm.engines import memory
from lm.engines.jax import Engine
from lm.errors import ConfigError
from lm.mesh.mesh import REMAINING, Mesh
from lm.mesh.placement import shaped
from lm.types import Features
from lm.wall import wall

_MEBIBYTE = 2**20
# The CPU compiler drops the barriers that keep rematerialised code separate, and then computes it
# only once. Compilers for accelerators keep them.
_WITH_REMAT = {"xla_disable_hlo_passes": "cse_barrier_expander"}


class DeviceMemory(NamedTuple):
    """Bytes per device.

    Attributes:
        devices: number of devices.
        weights: all variables of the objective, trainable or not.
        slots: optimizer state, averages included.
        carry: state passed from one batch to the next.
        arguments: the whole training state and the batch.
        outputs: those that are not written in place of an argument.
        temporaries: peak of gradients, activations and the compiler's copies.
    """

    devices: int
    weights: int
    slots: int
    carry: int
    arguments: int
    outputs: int
    temporaries: int

    @property
    def total(self) -> int:
        """Memory that a step needs."""
        return self.arguments + self.outputs + self.temporaries


def simulate(mesh: Mesh) -> None:
    """Makes the CPU appear as many devices as a mesh has; to be called before any use of JAX.

    Args:
        mesh: a mesh of one process.

    Raises:
        ConfigError: the mesh's shape leaves the number of devices open.
    """
    unknown = [f"{name.upper()}_DEVICES" for name, n in mesh.shape.items() if n == REMAINING]
    if unknown:
        raise ConfigError(f"a mesh of how many devices? Set {unknown[0]}, as --gin.{unknown[0]}=4")
    jax.config.update("jax_num_cpu_devices", math.prod(mesh.shape.values()))


def device_memory(
    mesh: Mesh,
    *,
    objective: Callable[[], Any],
    optimizer: Callable[[], Any],
    features: Features,
    microbatches: int = 1,
) -> DeviceMemory:
    """Compiles a training step and returns the memory it needs.

    Args:
        mesh: a mesh whose devices exist, real or simulated.
        objective: factory of the objective.
        optimizer: factory of the optimizer.
        features: those of the global batch: anything with a shape and dtype for each.
        microbatches: parts of a batch whose gradients are summed before the update.

    Raises:
        ConfigError: the model or the batch does not fit the mesh.
    """
    with mesh.over(objective=objective, features=features, microbatches=microbatches):
        with wall("OBJECTIVE"):
            parts = {"objective": objective(), "optimizer": optimizer()}
        engine = _on_shapes(
            lambda: Engine(features=features, microbatches=microbatches, mesh=mesh, **parts)
        )
    found = engine.lowered(features).compile(_WITH_REMAT).memory_analysis()
    program = engine.program
    return DeviceMemory(
        devices=math.prod(mesh.shape.values()),
        weights=_on_one_device(program.objective.variables),
        slots=_on_one_device(program.optimizer.variables),
        carry=_on_one_device(program.carry.variables),
        arguments=found.argument_size_in_bytes,
        outputs=found.output_size_in_bytes - found.alias_size_in_bytes,
        temporaries=found.temp_size_in_bytes,
    )


def _on_shapes(make: Callable[[], Engine]) -> Engine:
    """Returns an engine whose variables have shapes and layouts, but no values."""
    made: list[Engine] = []
    with memory.unlimited():
        jax.eval_shape(lambda: made.append(make()))
    return made[0]


def _on_one_device(variables: Iterable[Any]) -> int:
    """Returns the bytes that variables take on each device."""
    return sum(
        math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
        for x in map(shaped, variables)
    )


def table(found: DeviceMemory) -> str:
    """Returns the sizes as a table, in MiB."""
    rows = {
        "arguments": found.arguments,
        "  weights": found.weights,
        "  slots": found.slots,
        "  carry": found.carry or None,
        "outputs, not in place": found.outputs,
        "temporaries": found.temporaries,
        "total": found.total,
    }
    lines = [
        f"{name:<24}{size / _MEBIBYTE:>14,.1f}" for name, size in rows.items() if size is not None
    ]
    return "\n".join([f"MiB on each of {found.devices} devices, by the compiler for CPUs", *lines])


def verdict(found: DeviceMemory, gigabytes: float) -> str:
    """Returns whether a step fits on devices of the given GB (10^9 bytes).

    Example:
        >>> verdict(DeviceMemory(16, 5, 1, 0, 6, 0, 30), 32)
        'fits on 16 x 32 GB'
    """
    devices = f"{found.devices} x {gigabytes:g} GB"
    if found.total <= gigabytes * 1e9:
        return f"fits on {devices}"
    return (
        f"does not fit on {devices}: rematerialise (residual.Remat), split the model over more "
        "devices, or take more microbatches or a smaller batch"
    )
