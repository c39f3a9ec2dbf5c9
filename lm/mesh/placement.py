"""Batches and training states as arrays on the devices of a mesh, in one or several processes."""

from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from lm.mesh.mesh import Mesh
from lm.types import Features, Tensor


class Placement:
    """The shardings of the arrays of a training step.

    Args:
        mesh: the mesh; its devices must exist.
        objective: the built objective that is trained.

    Attributes:
        distribution: Keras' layouts of variables and of layer outputs.
        replicated: sharding of an array of which every device holds a full copy.
        rows: sharding of an array whose first axis is the batch.
    """

    def __init__(self, mesh: Mesh, objective: Any) -> None:
        self.mesh = mesh
        self.distribution = mesh.distribution(objective)
        devices = mesh.grid.backend_mesh
        self.replicated = NamedSharding(devices, PartitionSpec())
        self.rows = NamedSharding(devices, PartitionSpec(mesh.batch_axes))
        self._microbatches = NamedSharding(devices, PartitionSpec(None, mesh.batch_axes))

    def batch(self, batch: Features) -> dict[str, Tensor]:
        """Returns the global batch; this process copies only the rows of its own devices.

        A batch that is not divisible, such as the last one of an evaluation, is replicated.
        """
        return {name: self._placed(np.asarray(x)) for name, x in batch.items()}

    def microbatches(self, parts: Any) -> Any:
        """Returns [microbatches, B', ...], with the rows of each microbatch split over devices."""
        constrain = jax.lax.with_sharding_constraint
        return jax.tree.map(lambda x: constrain(x, self._microbatches), parts)

    def copied(self, tree: Any) -> Any:
        """Returns a tree of arrays replicated on every device."""

        def copy(x: Any) -> Any:
            x = np.asarray(x)
            return jax.make_array_from_callback(x.shape, self.replicated, lambda index: x[index])

        return jax.tree.map(copy, tree)

    def _placed(self, x: np.ndarray) -> Tensor:
        """Returns one feature as a global array."""
        sharding = self.replicated if len(x) % self.mesh.shards else self.rows
        return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])


def shaped(variable: Any) -> jax.ShapeDtypeStruct:
    """Returns shape, dtype and sharding of a variable made on a mesh; it may have no value yet."""
    layout = variable._layout  # Keras' layout, which holds a sharding, or the sharding itself
    sharding = getattr(layout, "backend_layout", layout)
    return jax.ShapeDtypeStruct(tuple(variable.shape), variable.dtype, sharding=sharding)
