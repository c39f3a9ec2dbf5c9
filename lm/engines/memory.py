"""How much memory a training state needs, computed from shapes, and how much is free."""

import math
import os
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import keras

from lm.abstract import on_shapes, specs
from lm.errors import UserError
from lm.nn.stack import abridged, unabridged
from lm.optim.optimizer import Optimizer
from lm.scoped import scoped
from lm.types import Features

_GIBIBYTE = 2**30
_UNLIMITED = 2**60
_UNLIMITED_HERE: ContextVar[bool] = ContextVar("unlimited", default=False)


class Need(NamedTuple):
    """The least bytes that a step needs: without activations and the compiler's copies.

    Attributes:
        weights: all variables of the objective.
        slots: of the optimizer, averages included.
        gradients: one number per trainable weight.
        batch: the features of one batch.
        carry: state that is passed from one batch to the next.
    """

    weights: int
    slots: int
    gradients: int
    batch: int
    carry: int = 0

    @property
    def total(self) -> int:
        """The sum."""
        return sum(self)

    @property
    def checkpoint(self) -> int:
        """Bytes of one checkpoint on the disk."""
        return self.weights + self.slots + self.carry

    def __str__(self) -> str:
        found = {name: size for name, size in self._asdict().items() if size or name != "carry"}
        parts = ", ".join(f"{name} {gibibytes(size)}" for name, size in found.items())
        return f"{gibibytes(self.total)} ({parts})"


def need(
    *,
    model: Callable[[], Any],
    optimizer: Callable[[], Optimizer] | None,
    features: Features,
) -> Need:
    """Returns what a model needs, without allocating it.

    Args:
        model: factory of the model or objective.
        optimizer: factory of the optimizer; None for inference.
        features: for each feature anything with its shape and dtype.
    """
    shapes = specs(features)
    made = None if optimizer is None else optimizer()
    with abridged(), on_shapes("MODEL"):
        built = model()
        built(shapes)
        slots, gradients = 0, 0
        if made is not None:
            made.rule._var_key = (
                id  # on TF Keras keys weights by their values, which do not exist yet
            )
            made.rule.build(built.trainable_variables)
            gradients = size(_every(built.trainable_variables))
            slots = size(_every(made.slots)) + made.copies * gradients
        return Need(size(_every(built.variables)), slots, gradients, size(shapes.values()))


def at_least(
    objective: Any, optimizer: Optimizer, features: Features, carry: Iterable[Any] = ()
) -> Need:
    """Returns what a built objective needs for training, without the optimizer's slots.

    Args:
        objective: built on shapes; its variables need no values.
        optimizer: not yet built.
        features: for each feature anything with its shape and dtype.
        carry: the variables of the carry.
    """
    gradients = size(objective.trainable_variables)
    batch = size(features.values())
    return Need(
        size(objective.variables), optimizer.copies * gradients, gradients, batch, size(carry)
    )


def available() -> int:
    """Returns the bytes that this process may still allocate: of the accelerator, else the host."""
    found = _accelerator()
    return min(_host(), _control_group()) if found is None else found


def peak_share() -> float | None:
    """Returns the peak use of the accelerator's memory as a fraction of it; None if unknown."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    stats = jax.local_devices()[0].memory_stats() or {}
    known = "peak_bytes_in_use" in stats and stats.get("bytes_limit")
    return stats["peak_bytes_in_use"] / stats["bytes_limit"] if known else None


def unlimited() -> AbstractContextManager[None]:
    """Lets `require` pass in the body, which only traces: nothing is allocated."""
    return scoped(_UNLIMITED_HERE, value=True)


def require(needed: Need) -> None:
    """Checks that enough memory is free, before anything is allocated and compiled.

    Raises:
        UserError: with the memory needed and free, and what to change.
    """
    free = available()
    if needed.total > free and not _UNLIMITED_HERE.get():
        raise UserError(
            f"too little memory: at least {needed} are needed, {gibibytes(free)} free; take a "
            "smaller model (HIDDEN_DIM, NUM_LAYERS), a smaller BATCH_SIZE, or a mesh of devices; "
            "`lm doctor --gin_file=F` shows the need with all of the optimizer's slots"
        )


def size(tensors: Iterable[Any]) -> int:
    """Returns the bytes of variables or of what has a shape and a dtype."""
    return sum(
        math.prod(x.shape) * _bytes(keras.backend.standardize_dtype(x.dtype)) for x in tensors
    )


def _every(variables: Iterable[Any]) -> list[Any]:
    """Repeats abridged variables as often as they count; a slot's name holds its weight's path."""
    return [variable for _, variable in unabridged((v.path, v) for v in variables)]


def gibibytes(number: int) -> str:
    """Returns bytes in GiB.

    Example:
        >>> gibibytes(3 * 2**29)
        '1.50 GiB'
    """
    return f"{number / _GIBIBYTE:.2f} GiB"


def _bytes(dtype: str) -> int:
    """Returns the bytes of one number.

    Example:
        >>> _bytes("bfloat16"), _bytes("float32"), _bytes("uint32"), _bytes("bool")
        (2, 4, 4, 1)
    """
    bits = re.search(r"\d+", dtype)
    return int(bits[0]) // 8 if bits else 1


def _accelerator() -> int | None:
    """Returns the free bytes of all accelerators, None if there are none."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" not in stats:
        return None
    return (stats["bytes_limit"] - stats.get("bytes_in_use", 0)) * jax.device_count()


def _host() -> int:
    """Returns the bytes of memory that are free or can be freed, swap included."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    sizes = {name: int(rest.split()[0]) * 1024 for name, rest in (x.split(":") for x in lines)}
    return sizes["MemAvailable"] + sizes.get("SwapFree", 0)


def _control_group() -> int:
    """Returns the bytes that the control group of this process may still allocate."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text() for name in ("memory.max", "memory.current"))
        reclaimable = dict(
            line.split() for line in (folder / "memory.stat").read_text().splitlines()
        )["inactive_file"]
        return int(limit) - int(used) + int(reclaimable)
    except (OSError, ValueError, KeyError):  # no limit reads "max"
        return _UNLIMITED
