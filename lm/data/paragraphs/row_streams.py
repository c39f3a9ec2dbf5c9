"""Streams of training rows over documents in a new order every epoch, with a saved position."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lm.data.paragraphs import draws
from lm.data.paragraphs.documents import Documents
from lm.types import Batch

_NOT_BEGUN = -1
_NO_WORDS = np.zeros(0, np.int32)


class RowStreams:
    """Training rows of documents, shuffled every epoch, from several documents side by side.

    Args:
        found: the documents.
        settings: how a document becomes rows.
        count: number of streams, each of which reads one document at a time.
        seed: decides order and draws.
    """

    def __init__(
        self, found: Documents, settings: draws.Settings, *, count: int, seed: int
    ) -> None:
        self.corpus = draws.Corpus(found.tokens, found.offsets, seed)
        self.settings = settings
        self.begun = 0  # documents begun in all epochs
        self.positions = np.tile([_NOT_BEGUN, 0], (count, 1))  # see `draws.fill`
        self._kept = [_NO_WORDS] * count

    def take(self, each: int) -> draws.Rows:
        """Returns a number of rows from each stream, stream after stream."""
        rows = draws.empty_rows(each * len(self.positions), self.settings)
        for stream, position in enumerate(self.positions):
            first, kept = stream * each, self._kept[stream]
            self._kept[stream], self.begun = draws.fill(
                rows, first, first + each, position, kept, self.begun, self.corpus, self.settings
            )
        return rows

    def state(self) -> dict[str, Any]:
        """Returns the position, as plain JSON values."""
        return {"begun": self.begun, "places": self.positions.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores a position."""
        self.begun, self.positions = state["begun"], np.array(state["places"])
        self._kept = [
            _NO_WORDS
            if position[0] == _NOT_BEGUN
            else draws.words_at(position, self.corpus, self.settings)
            for position in self.positions
        ]


def batch_of(rows: draws.Rows) -> Batch:
    """Returns rows as a batch; without context words, the context features are left out."""
    return {name: x for name, x in rows._asdict().items() if x.ndim == 1 or x.shape[1]}
