"""Batches and states as arrays over the devices of a mesh, in one process or several."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from lm.mesh.mesh import Mesh


class Placement:
    """Where the arrays of a step lie.

    Args:
        mesh: the mesh; its devices must be there.

    Attributes:
        distribution: Keras' layouts of variables and of what layers return.
    """

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.distribution = mesh.distribution()
        devices = mesh.grid.backend_mesh
        self.whole = NamedSharding(devices, PartitionSpec())
        self.rows = NamedSharding(devices, PartitionSpec(mesh.batch_axes))
        self.parts = NamedSharding(devices, PartitionSpec(None, mesh.batch_axes))

    def batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the global batch, of which this process copies the rows of its own devices.

        A batch that does not divide, as the last of an evaluation may, is whole on every device.
        """
        return {name: self._placed(np.asarray(x)) for name, x in batch.items()}

    def microbatches(self, parts: Any) -> Any:
        """Return [microbatches, B', ...] with the rows of each microbatch split."""
        return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, self.parts), parts)

    def copied(self, tree: Any) -> Any:
        """Return a tree of arrays that are whole on every device."""

        def copy(x: Any) -> Any:
            x = np.asarray(x)
            return jax.make_array_from_callback(x.shape, self.whole, lambda index: x[index])

        return jax.tree.map(copy, tree)

    def _placed(self, x: np.ndarray) -> Any:
        """Return one feature as a global array."""
        sharding = self.whole if len(x) % self.mesh.shards else self.rows
        return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])
