"""A vocabulary of single characters, for corpora with a small, known alphabet."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from lm.data.closed_vocabulary import ClosedVocabulary
from lm.data.special_ids import SPECIAL_IDS, UNKNOWN_ID


class CharacterVocabulary(ClosedVocabulary):
    """One id per character of a fixed set: ``id = 3 + rank in the set``; 0 pad, 1 eos, 2 unknown.

    Looks up characters by binary search over the sorted code points: without a hash table, the
    position of a tf.data iterator can be saved.

    Args:
        characters: the character set, each once; their order gives the ids.

    Raises:
        ValueError: the set is empty or has a character twice.

    Example:
        >>> vocabulary = CharacterVocabulary("abc")
        >>> vocabulary.encode("cab?")
        [5, 3, 4, 2]
        >>> vocabulary.decode([5, 3, 4, 1, 3])
        'cab'
    """

    def __init__(self, characters: str):
        super().__init__(characters)
        if not characters or len(set(characters)) != len(characters):
            raise ValueError("a character vocabulary needs characters, each exactly once")
        self.characters = characters
        self._ids: dict[str, int] = {c: rank + SPECIAL_IDS for rank, c in enumerate(characters)}
        self._sorted = np.array(sorted(map(ord, characters)), "int32")
        self._sorted_ids = np.array([self._ids[chr(c)] for c in self._sorted], "int32")

    def _encode(self, s: str) -> list[int]:
        return [self._ids.get(c, UNKNOWN_ID) for c in s]

    def _decode(self, ids: Iterable[int]) -> str:
        return "".join(self.texts[i] for i in ids)

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        codes = tf.strings.unicode_decode(s, "UTF-8")
        rank = tf.minimum(tf.searchsorted(self._sorted, codes), len(self._sorted) - 1)
        found = tf.equal(tf.gather(self._sorted, rank), codes)
        return tf.where(found, tf.gather(self._sorted_ids, rank), UNKNOWN_ID)

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.strings.reduce_join(tf.gather(tf.constant(self.texts), ids), axis=-1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CharacterVocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)
