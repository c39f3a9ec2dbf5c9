"""Rows of documents in a new order every epoch, and where their reading stands."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lm.data.paragraphs import draws
from lm.types import Batch


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
        """Returns how often each id is there, int64 [V]."""
        return np.bincount(self.tokens, minlength=self.size).astype(np.int64)


class Place(NamedTuple):
    """Where a stream stands: the row of a document in an epoch that comes next."""

    epoch: int
    document: int
    row: int


class RowStreams:
    """Rows of documents in a new order every epoch, several documents side by side.

    Args:
        found: the documents.
        settings: how a document becomes rows.
        count: number of streams, each of which reads a document to its end.
        seed: decides orders and draws.
    """

    def __init__(
        self, found: Documents, settings: draws.Settings, *, count: int, seed: int
    ) -> None:
        self.found, self.settings, self.seed = found, settings, seed
        self.taken = 0  # documents begun
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0))
        self._rows: list[draws.Rows] = []
        self.places: list[Place] = []
        for _ in range(count):
            place, rows = self._begin()
            self.places.append(place)
            self._rows.append(rows)

    def take(self, stream: int, count: int) -> Iterator[tuple[int, draws.Rows]]:
        """Yields the next rows of a stream, with the document that they belong to."""
        while count:
            place, rows = self.places[stream], self._rows[stream]
            part = draws.Rows(*(x[place.row : place.row + count] for x in rows))
            end = place.row + len(part.nodes)
            count -= len(part.nodes)
            self.places[stream] = place._replace(row=end)
            if end == len(rows.nodes):
                self.places[stream], self._rows[stream] = self._begin()
            yield place.document, part

    def state(self) -> dict[str, Any]:
        """Returns the position, as plain JSON values."""
        return {"taken": self.taken, "places": [list(place) for place in self.places]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes to a position."""
        self.taken = state["taken"]
        self.places = [Place(*place) for place in state["places"]]
        self._rows = [self._drawn(place) for place in self.places]

    def _begin(self) -> tuple[Place, draws.Rows]:
        """Returns the next document that has rows."""
        while True:
            epoch, index = divmod(self.taken, len(self.found))
            self.taken += 1
            if self._order[0] != epoch:
                shuffled = np.random.default_rng([self.seed, epoch]).permutation(len(self.found))
                self._order = (epoch, shuffled)
            place = Place(epoch, int(self._order[1][index]), 0)
            rows = self._drawn(place)
            if len(rows.nodes):
                return place, rows

    def _drawn(self, place: Place) -> draws.Rows:
        key = draws.key_of(self.seed, place.epoch, place.document)
        return draws.rows_of(self.found[place.document], key, self.settings)


def batch_of(taken: Sequence[tuple[int, draws.Rows]]) -> Batch:
    """Returns rows as one batch; without a context its features are left out."""
    numbers = np.array([number for number, _ in taken], np.int32)
    counts = [len(rows.nodes) for _, rows in taken]
    columns = zip(draws.Rows._fields, zip(*(rows for _, rows in taken), strict=True), strict=True)
    features = {name: np.concatenate(parts) for name, parts in columns}
    found = {name: x for name, x in features.items() if x.shape[1]}
    return {"documents": np.repeat(numbers, counts), **found}
