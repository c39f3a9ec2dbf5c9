"""Words as a vocabulary: a simple word splitter, and a file of the words of a corpus with counts.

The file has one line per word, most frequent first: the word, a tab, its count. `lm tokenizer
words` writes it.
"""

import collections
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import seqio
import tensorflow as tf

from lm.data.closed_vocabulary import ClosedVocabulary
from lm.data.special_ids import SPECIAL_IDS, UNKNOWN_ID
from lm.data.vocabulary import contents
from lm.errors import UserError
from lm.parts import value

_BATCH = 1024


def split(texts: tf.Tensor) -> tf.Tensor:
    r"""Returns the words of lower-cased text: runs of letters, digits, ' and -, or a single mark.

    `<br />` counts as a space.

    Example:
        >>> split(tf.constant(["Don't go!<br />A 2-hour bore..."])).to_list()[0]
        [b"don't", b'go', b'!', b'a', b'2-hour', b'bore', b'.', b'.', b'.']
    """
    lower = tf.strings.lower(texts, encoding="utf-8")
    plain = tf.strings.regex_replace(lower, r"<br\s*/?>", " ")
    return tf.strings.split(tf.strings.regex_replace(plain, r"([^\pL\pN\pM\s'’-])", r" \1 "))


class WordVocabulary(ClosedVocabulary):
    """The words of a corpus: id = 3 + rank; 0 is padding, 1 end of sequence, 2 unknown.

    Args:
        counts: word → count, most frequent first.

    Example:
        >>> vocabulary = WordVocabulary({"film": 5, "good": 2, "!": 1})
        >>> vocabulary.encode("A good film!"), vocabulary.decode([4, 3])
        ([2, 4, 3, 5], 'good film')
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        super().__init__(counts)
        self.words = self.texts
        self.counts = np.array([0] * SPECIAL_IDS + list(counts.values()), np.int64)

    @functools.cached_property
    def _table(self) -> tf.lookup.StaticHashTable:
        with tf.init_scope():
            ids = range(SPECIAL_IDS, len(self.words))
            pairs = tf.lookup.KeyValueTensorInitializer(
                self.words[SPECIAL_IDS:], list(ids), tf.string, tf.int32
            )
            return tf.lookup.StaticHashTable(pairs, UNKNOWN_ID)

    @functools.cached_property
    def _encoder(self) -> Callable[[tf.Tensor], tf.Tensor]:
        return tf.function(self._encode_tf, input_signature=[tf.TensorSpec([], tf.string)])

    def _encode(self, s: str) -> list[int]:
        return self._encoder(tf.constant(s)).numpy().tolist()

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        return self._table.lookup(split(s))

    def _decode(self, ids: Iterable[int]) -> str:
        return " ".join(self.words[i] for i in ids)

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.strings.reduce_join(tf.gather(tf.constant(self.words), ids), -1, separator=" ")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WordVocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(tuple(self.words))


@contents.register
def _(vocabulary: WordVocabulary) -> bytes:
    return "\n".join(vocabulary.words).encode()


@value
def word_vocabulary(path: str) -> WordVocabulary:
    """Returns the vocabulary of a file that `lm tokenizer words` wrote.

    Raises:
        UserError: a line is malformed; the message names file and line.
    """
    return WordVocabulary(read_counts(path))


@value
def vocabulary_size(*, vocabulary: seqio.Vocabulary) -> int:
    """Returns the number of ids of a vocabulary, such as `%VOCABULARY`."""
    return int(vocabulary.vocab_size)


def count(texts: Iterable[str], *, min_count: int) -> dict[str, int]:
    """Returns the words with at least `min_count` occurrences, by count, then by spelling."""
    counts: collections.Counter[str] = collections.Counter()
    remaining = iter(texts)
    while batch := list(itertools.islice(remaining, _BATCH)):
        counts.update(word.decode() for word in split(tf.constant(batch)).flat_values.numpy())
    kept = [(word, number) for word, number in counts.items() if number >= min_count]
    return dict(sorted(kept, key=lambda item: (-item[1], item[0])))


def read_counts(path: str) -> dict[str, int]:
    """Returns the words of a file with their counts.

    Raises:
        UserError: as `word_vocabulary`.
    """
    try:
        lines = Path(path).read_text("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}") from error
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; `lm tokenizer words --task=NAME --output={path}` writes it"
        ) from error
    counts: dict[str, int] = {}
    for number, (word, times) in enumerate(map(_cells, lines), 1):
        if not word or "\0" in word or not times.isdecimal() or int(times) < 1:
            raise UserError(f"{path}:{number}: no word, tab and count: {lines[number - 1][:60]!r}")
        if word in counts:
            raise UserError(f"{path}:{number}: the word {word!r} is there twice")
        counts[word] = int(times)
    return counts


def _cells(line: str) -> tuple[str, str]:
    word, _, times = line.partition("\t")
    return word, times


def lines(counts: Mapping[str, int]) -> Iterator[str]:
    """Yields the lines of a word file."""
    return (f"{word}\t{number}\n" for word, number in counts.items())
