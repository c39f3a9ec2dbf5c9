"""Checkpoints: one folder each, written atomically and verified before use.

workdir/checkpoints/<step>/weights.safetensors    what inference needs
                           averages.safetensors   averages of the weights, if the run has them
                           state.safetensors      slots, seeds, metrics
                           data_state             position in the data
                           MANIFEST.json          step, tensors, hashes, metadata
                           MANIFEST.sha256        hash of the manifest
"""

from lm.checkpoint.folder import (
    CheckpointError,
    DamagedError,
    Manifest,
    manifest_of,
    read,
    verify,
    write,
)
from lm.checkpoint.restore import assign, load_weights, mapped_weights, require_fit
from lm.checkpoint.store import Store, best, find, latest

__all__ = [
    "CheckpointError",
    "DamagedError",
    "Manifest",
    "Store",
    "assign",
    "best",
    "find",
    "latest",
    "load_weights",
    "manifest_of",
    "mapped_weights",
    "read",
    "require_fit",
    "verify",
    "write",
]
