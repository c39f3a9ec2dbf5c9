"""Weights of a loaded model for inference: its own, or narrow copies of them."""

import dataclasses
from typing import Any

from lm.decode.kernel_copies import WIDTHS, KernelCopies, copied_bytes
from lm.engines import memory
from lm.engines.barrier import barrier
from lm.errors import UserError
from lm.inference.trained import Trained

CHOICES = ("float32", *WIDTHS)


def with_weights(trained: Trained, weights: str) -> Trained:
    """Returns the model with narrow copies of its kernels.

    Args:
        trained: the model.
        weights: one of `CHOICES`; float32 uses the model's own weights.

    Raises:
        UserError: there is no such choice, or too little memory.
    """
    metadata = {name: x for name, x in trained.metadata.items() if name != "weights"}
    if weights in WIDTHS:
        metadata["weights"] = weights
    copies = copies_of(trained.objective, weights)
    return dataclasses.replace(
        trained, copies=copies, metadata=metadata, generators={}, programs={}
    )


def copies_of(model: Any, weights: str) -> KernelCopies | None:
    """Returns the copies of a model's kernels, or None; arguments as for `with_weights`."""
    if weights not in CHOICES:
        raise UserError(f"weights = {weights!r}: choose one of {', '.join(CHOICES)}")
    if weights not in WIDTHS:
        return None
    needed, free = copied_bytes(model, weights), memory.available()
    if needed > free:
        raise UserError(
            f"weights = {weights!r}: the copies need {memory.gibibytes(needed)}, "
            f"{memory.gibibytes(free)} are free; --weights=float32 needs no copies"
        )
    return KernelCopies(model, weights, barrier)
