"""The memory that a training step takes on each device of a mesh, as JAX's compiler reports it.

The step is the one that trains, traced on shapes alone and compiled for as many devices of the CPU
as the mesh has; nothing is allocated, and no other device is needed.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import keras

from lm.engines import memory
from lm.engines.jax import Engine
from lm.errors import ConfigError
from lm.mesh.mesh import REMAINING, Mesh
from lm.mesh.placement import shaped
from lm.types import Features
from lm.wall import wall

_MEBIBYTE = 2**20
# The compiler for CPUs drops the barriers that keep what is rematerialised apart, and computes it
# once after all. Accelerators' compilers keep them.
_WITH_REMAT = {"xla_disable_hlo_passes": "cse_barrier_expander"}


class DeviceMemory(NamedTuple):
    """Bytes on one device.

    Attributes:
        devices: number of devices.
        weights: all variables of the objective, trainable or not.
        slots: those of the optimizer, averages included.
        carry: state that is handed from one batch to the next.
        arguments: the whole training state and the batch.
        outputs: what is not written in place of an argument.
        temporaries: gradients, activations and the compiler's copies, at their largest.
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
        """What a step needs."""
        return self.arguments + self.outputs + self.temporaries


def simulate(mesh: Mesh) -> None:
    """Have the CPU pass for as many devices as a mesh has, before anything else that uses JAX.

    Args:
        mesh: it joins no cluster.

    Raises:
        ConfigError: its shape leaves the number open.
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
    """Compile a training step and return what it needs.

    Args:
        mesh: whose devices there are, be they real or simulated.
        objective: factory of the objective.
        optimizer: factory of the optimizer.
        features: of the global batch, for each anything with its shape and dtype.
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


def token_rows(rows: int, length: int) -> Features:
    """Return the shapes of a batch of tokens, inputs and targets on both sides."""
    tokens = keras.KerasTensor((rows, length), "int32")
    weights = keras.KerasTensor((rows, length), "float32")
    names = ("encoder_input_tokens", "decoder_input_tokens", "decoder_target_tokens")
    return {**dict.fromkeys(names, tokens), "decoder_loss_weights": weights}


def _on_shapes(make: Callable[[], Engine]) -> Engine:
    """Return an engine whose variables have shapes and layouts, and no values."""
    made: list[Engine] = []
    with memory.unlimited():
        jax.eval_shape(lambda: made.append(make()))
    return made[0]


def _on_one_device(variables: Iterable[Any]) -> int:
    """Return the bytes of variables on each device."""
    return sum(
        math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
        for x in map(shaped, variables)
    )


def table(found: DeviceMemory) -> str:
    """Return the bytes as a table, in MiB."""
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
    """Return whether a step fits on devices of so many GB (10^9 bytes).

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
