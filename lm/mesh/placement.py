"""Batches and states as arrays over the devices of a mesh, in one process or several."""

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from lm.mesh.mesh import Mesh
from lm.types import Features, Tensor


class Placement:
    """How the arrays of a step are laid out.

    Args:
        mesh: the mesh; its devices must exist.

    Attributes:
        distribution: Keras' layouts of variables and of what layers return.
        replicated: sharding of an array that every device holds completely.
    """

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.distribution = mesh.distribution()
        devices = mesh.grid.backend_mesh
        self.replicated = NamedSharding(devices, PartitionSpec())
        self._rows = NamedSharding(devices, PartitionSpec(mesh.batch_axes))
        self._microbatches = NamedSharding(devices, PartitionSpec(None, mesh.batch_axes))

    def batch(self, batch: Features) -> dict[str, Tensor]:
        """Return the global batch, of which this process copies the rows of its own devices.

        A batch that does not divide, as the last one of an evaluation may, is replicated.
        """
        return {name: self._placed(np.asarray(x)) for name, x in batch.items()}

    def microbatches(self, batch: Features) -> dict[str, Tensor]:
        """Return features [microbatches, B', ...] with the rows of each microbatch split."""
        constrain = jax.lax.with_sharding_constraint
        return {n: constrain(x, self._microbatches) for n, x in batch.items()}

    def _placed(self, x: np.ndarray) -> Tensor:
        """Return one feature as a global array."""
        sharding = self.replicated if len(x) % self.mesh.shards else self._rows
        return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])
