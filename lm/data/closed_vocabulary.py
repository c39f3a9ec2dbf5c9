"""Vocabularies of a list of characters or words, after three special ids."""

from collections.abc import Iterable

import seqio

from lm.data.special_ids import UNKNOWN_ID, UNKNOWN_TEXT


class ClosedVocabulary(seqio.Vocabulary):
    """0 padding, 1 the end of a sequence, 2 unknown, then an id for each entry of a list.

    A subclass splits texts into entries.

    Args:
        entries: in the order of their ids.

    Attributes:
        texts: of every id.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        super().__init__(extra_ids=0)
        self.texts = ["", "", UNKNOWN_TEXT, *entries]

    @property
    def bos_id(self) -> int | None:
        """No id begins a sequence."""
        return None

    @property
    def eos_id(self) -> int | None:
        """The id that ends a sequence."""
        return 1

    @property
    def unk_id(self) -> int | None:
        """The id of everything that is not in the list."""
        return UNKNOWN_ID

    @property
    def _base_vocab_size(self) -> int:
        return len(self.texts)
