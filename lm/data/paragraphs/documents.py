"""The tokenized documents of a split, on which paragraph vectors are trained."""

from dataclasses import dataclass

import numpy as np

FEATURE = "targets"
_CHUNK = 2**20  # tokens counted at a time


@dataclass(frozen=True)
class Documents:
    """The tokens of a split, document after document.

    Attributes:
        tokens: int32 [total].
        offsets: int64 [N + 1], where each document starts.
        size: number of ids of the vocabulary.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    size: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, number: int) -> np.ndarray:
        return self.tokens[self.offsets[number] : self.offsets[number + 1]]

    def counts(self) -> np.ndarray:
        """Returns the count of each id, int64 [V]."""
        total = np.zeros(self.size, np.int64)
        for start in range(0, len(self.tokens), _CHUNK):
            total += np.bincount(self.tokens[start : start + _CHUNK], minlength=self.size)
        return total
