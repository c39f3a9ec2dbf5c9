"""What would make a run faster, as far as its first log window shows: each a line, logged once.

Each hint follows from something counted or read of this run, and says what. That bfloat16 does not
pay on a CPU, and a step of few tokens neither, was measured (DECISIONS.md).
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
    """What the hints know of the machine.

    Attributes:
        is_accelerator: whether a GPU or TPU computes.
        has_bfloat16_units: whether it has units for bfloat16.
        peak_share: the largest share of its memory that was in use; None if unknown.
    """

    is_accelerator: bool
    has_bfloat16_units: bool
    peak_share: float | None

    @classmethod
    def here(cls) -> "Machine":
        """Return what is known now."""
        return cls(device.is_accelerator(), device.has_bfloat16_units(), memory.peak_share())


class Padding:
    """How full the rows of batches are.

    Attributes:
        sizes: side -> for each row (its width, its positions in use, its segments).
    """

    def __init__(self) -> None:
        self.sizes: dict[str, list[np.ndarray]] = {}

    def add(self, batch: Batch) -> None:
        """Count a batch."""
        for name, x in batch.items():
            if name.endswith(_SEGMENTS) and x.ndim > 1:
                used, segments = np.count_nonzero(x, axis=1), x.max(axis=1)
                rows = np.stack([np.full_like(used, x.shape[1]), used, segments], axis=1)
                self.sizes.setdefault(name.removesuffix(_SEGMENTS), []).append(rows)

    def hints(self) -> Iterator[str]:
        """Yield what to do where a quarter of the positions or more is padding."""
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
    """Return the advice of buckets for rows of one example, where they save enough."""
    buckets = [width // 4, width // 2]
    edges = np.array([*buckets, width])
    saved = 1 - edges[np.searchsorted(edges, used)].mean() / width
    if not buckets[0] or saved < _WORTH_A_SHAPE:
        return ""
    return (
        f"pipeline.Pipeline.length_buckets = {buckets} saves {saved:.0%} of them all; features "
        "that have `pack` save more"
    )


def bfloat16_hint(policy: str, machine: Machine) -> Iterator[str]:
    """Yield whether another precision would pay."""
    if policy == "float32" and machine.has_bfloat16_units:
        yield (
            "this device multiplies bfloat16 in units of its own: DTYPE_POLICY = 'mixed_bfloat16' "
            "is faster and takes less memory"
        )
    if policy.endswith("bfloat16") and not machine.is_accelerator:
        yield f"DTYPE_POLICY = '{policy}' is slower than 'float32' on a CPU"


def batch_hint(batch: Batch, machine: Machine) -> Iterator[str]:
    """Yield whether a larger batch would pay."""
    rows, share = len(next(iter(batch.values()))), machine.peak_share
    tokens = max((x.size for name, x in batch.items() if name.endswith(_SEGMENTS)), default=0)
    if share is not None and share < _LITTLE_MEMORY:
        yield (
            f"the step takes {share:.0%} of the device's memory: a BATCH_SIZE above {rows} fits "
            "and may train more tokens a second"
        )
    elif not machine.is_accelerator and 0 < tokens < _FEW_TOKENS:
        yield (
            f"a step has {tokens} positions, too few to keep the cores busy: a BATCH_SIZE above "
            f"{rows} trains more tokens a second"
        )


class Hints:
    """Counts the batches of the first log window, then gives the hints once.

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
        """Count a batch of the first window."""
        if not self._is_given:
            self._padding.add(batch)
            self._batch = batch

    def take(self, policy: str | None = None, machine: Machine | None = None) -> Sequence[str]:
        """Return the hints the first time, nothing later.

        Args:
            policy: Keras' policy; that of the process when None.
            machine: what computes; this one when None.
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
