"""Many devices: a grid of them, what is split over it, and the processes of a cluster.

A gin file of `gin/mesh` binds `train.train.mesh`. JAX only.
"""

from lm.mesh.mesh import Mesh

__all__ = ["Mesh"]
