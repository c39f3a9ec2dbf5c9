"""The batches that a run has consumed, as one number that only the same sequence has."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np


class Consumed:
    """Passes batches on and keeps hash(hash before, batch) over all of them.

    The manifest of a checkpoint has it as `batches`: two runs that agree on it have seen the same
    batches in the same order.

    Args:
        data: endless batches with `features`, `wait_seconds`, `fingerprint`, `state`, `restore`.

    Attributes:
        data: the argument.
        digest: of all batches so far, empty before the first.
    """

    def __init__(self, data: Any) -> None:
        self.data = data
        self.digest = ""

    def __next__(self) -> Any:
        batch = next(self.data)
        self.digest = chained(self.digest, batch)
        return batch

    @property
    def features(self) -> Mapping[str, Any]:
        """Shapes and types of a batch."""
        return self.data.features

    @property
    def vocabulary_sizes(self) -> Mapping[str, int]:
        """Where it is used -> number of ids of a tokenizer; empty if the data do not tell."""
        return getattr(self.data, "vocabulary_sizes", {})

    @property
    def wait_seconds(self) -> float:
        """Time that the run has waited for batches."""
        return self.data.wait_seconds

    def fingerprint(self) -> dict[str, Any]:
        """Return what decides the batches."""
        return self.data.fingerprint()

    def state(self) -> bytes:
        """Return the position in the data."""
        return self.data.state()

    def restore(self, state: bytes, *, allow_changes: Collection[str] = ()) -> None:
        """Go to a position in the data."""
        self.data.restore(state, allow_changes=allow_changes)


def chained(digest: str, batch: Mapping[str, np.ndarray]) -> str:
    """Return the hash of a hash and a batch: 16 hexadecimal digits.

    Example:
        >>> one, two = {"x": np.arange(3)}, {"x": np.arange(3) + 1}
        >>> chained(chained("", one), two) == chained(chained("", two), one)
        False
    """
    found = hashlib.sha256(digest.encode())
    for name in sorted(batch):
        array = np.ascontiguousarray(batch[name])
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.data)
    return found.hexdigest()[:16]
