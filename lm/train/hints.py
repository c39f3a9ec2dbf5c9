"""Hints for a faster run, derived from its first log window and logged once.

Each hint gives the number of this run that it is based on. That bfloat16 and very small batches are
slow on a CPU was measured (DECISIONS.md).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import keras
import numpy as np

from lm.engines import device, memory
from lm.types import Batch

_MUCH_PADDING = 0.25
_WORTH_A_SHAPE = 0.2
_FEW_TOKENS = 512
_LITTLE_MEMORY = 0.4
_SEGMENTS = "_segment_ids"


class Machine(NamedTuple):
    """The properties of the machine that matter here.

    Attributes:
        is_accelerator: whether a GPU or TPU is used.
        has_bfloat16_units: whether it has hardware units for bfloat16.
        peak_share: peak memory use as a fraction of its memory; None if unknown.
    """

    is_accelerator: bool
    has_bfloat16_units: bool
    peak_share: float | None

    @classmethod
    def here(cls) -> "Machine":
        """Returns the properties of this machine."""
        return cls(device.is_accelerator(), device.has_bfloat16_units(), memory.peak_share())


class Padding:
    """Counts the padding of batches.

    Attributes:
        sizes: side -> for each row (width, positions in use, segments).
    """

    def __init__(self) -> None:
        self.sizes: dict[str, list[np.ndarray]] = {}

    def add(self, batch: Batch) -> None:
        """Counts a batch."""
        for name, x in batch.items():
            if name.endswith(_SEGMENTS) and x.ndim > 1:
                x = x.reshape(-1, x.shape[-1])  # a row may have several texts, [B, n, T]
                used, segments = np.count_nonzero(x, axis=1), x.max(axis=1)
                rows = np.stack([np.full_like(used, x.shape[1]), used, segments], axis=1)
                self.sizes.setdefault(name.removesuffix(_SEGMENTS), []).append(rows)

    def hints(self) -> Iterator[str]:
        """Yields advice for every side of which a quarter or more is padding."""
        for side, parts in self.sizes.items():
            widths, used, segments = np.concatenate(parts).T
            share = 1 - used.sum() / widths.sum()
            if share < _MUCH_PADDING or widths.min() < widths.max():
                continue
            found = f"{share:.0%} of the {side}'s positions are padding"
            if segments.max() > 1:
                yield f"{found}, in packed rows too; try another length in TASK_FEATURE_LENGTHS"
            elif advice := _buckets(int(widths[0]), used):
                yield f"{found}; {advice}"


def _buckets(width: int, used: np.ndarray) -> str:
    """Returns advice to use length buckets, if they would save enough; rows have one example."""
    buckets = [width // 4, width // 2]
    edges = np.array([*buckets, width])
    saved = 1 - edges[np.searchsorted(edges, used)].mean() / width
    if not buckets[0] or saved < _WORTH_A_SHAPE:
        return ""
    return (
        f"pipeline.Pipeline.length_buckets = {buckets} saves {saved:.0%} of all positions; packing "
        "(`pack` of the feature converter), where available, saves more"
    )


def bfloat16_hint(policy: str, machine: Machine) -> Iterator[str]:
    """Yields advice to change the precision, if it would be faster."""
    if policy == "float32" and machine.has_bfloat16_units:
        yield (
            "this device has bfloat16 units: DTYPE_POLICY = 'mixed_bfloat16' is faster and takes "
            "less memory"
        )
    if policy.endswith("bfloat16") and not machine.is_accelerator:
        yield f"DTYPE_POLICY = '{policy}' is slower than 'float32' on a CPU"


def batch_hint(batch: Batch, machine: Machine) -> Iterator[str]:
    """Yields advice to use a larger batch, if it would be faster."""
    rows, share = len(next(iter(batch.values()))), machine.peak_share
    tokens = max((x.size for name, x in batch.items() if name.endswith(_SEGMENTS)), default=0)
    if share is not None and share < _LITTLE_MEMORY:
        yield (
            f"the step uses {share:.0%} of the device's memory: a BATCH_SIZE above {rows} fits and "
            "may be faster"
        )
    elif not machine.is_accelerator and 0 < tokens < _FEW_TOKENS:
        yield (
            f"a step has {tokens} positions, too few to keep the cores busy: a BATCH_SIZE above "
            f"{rows} is faster"
        )


class Hints:
    """Observes the batches of the first log window, then returns the hints once.

    Example:
        >>> hints = Hints()
        >>> hints.add({"decoder_segment_ids": np.ones((8, 256), "int32")})
        >>> hints.take("mixed_bfloat16", Machine(False, False, None))
        ["DTYPE_POLICY = 'mixed_bfloat16' is slower than 'float32' on a CPU"]
        >>> hints.take("mixed_bfloat16", Machine(False, False, None))
        []
    """

    def __init__(self) -> None:
        self._padding, self._is_given = Padding(), False
        self._batch: Batch | None = None

    def add(self, batch: Batch) -> None:
        """Counts a batch of the first window."""
        if not self._is_given:
            self._padding.add(batch)
            self._batch = batch

    def take(self, policy: str | None = None, machine: Machine | None = None) -> Sequence[str]:
        """Returns the hints at the first call, nothing later.

        Args:
            policy: Keras' dtype policy; by default the current one.
            machine: by default this one.
        """
        if self._is_given or self._batch is None:
            return []
        self._is_given = True
        policy = policy or keras.config.dtype_policy().name
        machine = machine or Machine.here()
        return [
            *self._padding.hints(),
            *bfloat16_hint(policy, machine),
            *batch_hint(self._batch, machine),
        ]
