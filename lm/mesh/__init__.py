"""Training on many devices: the device mesh, sharding rules and multi-process clusters.

A gin file of `gin/mesh` binds `train.train.mesh`. JAX only.
"""

from lm.mesh.mesh import Mesh

__all__ = ["Mesh"]
