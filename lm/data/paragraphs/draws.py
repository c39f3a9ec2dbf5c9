"""Training rows of documents: their windows and random draws, compiled.

The draws of a row depend only on the seed, the epoch, the document and the position in it, not on
earlier draws, so any row can be computed alone. The same holds for the order of documents.

Source: Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number Generators", splitmix64.
"""

from typing import NamedTuple

import numpy as np

from lm.numba_loops import ONE, ZERO, compiled, inlined, uncounted

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_UNIT = np.float32(2.0**-32)
_ROUNDS = 6


class Settings(NamedTuple):
    """How a document becomes rows.

    Attributes:
        predicted: n, consecutive words that a row predicts, fewer at the end of a document.
        before: most context words before them.
        after: most context words after them.
        least: fewest on either side: window sizes are drawn uniformly from here to the maximum.
        negatives: k, number of negative samples per row.
        keep: float32 [V], the probability that an occurrence of a word is kept; 0 for ids that are
            no words.
        paths: int32 [V, L]; this and the following as in `lm.data.paragraphs.nodes.Nodes`.
        labels: float32 [V, L].
        sizes: int32 [V].
        accept: float32 [V].
        alias: int32 [V].
    """

    predicted: int
    before: int
    after: int
    least: int
    negatives: int
    keep: np.ndarray
    paths: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray
    accept: np.ndarray
    alias: np.ndarray


class Rows(NamedTuple):
    """R rows, C = before + after, M = n L + k.

    Attributes:
        documents: int32 [R], the document of each row.
        context: int32 [R, C], the words around the predicted ones, a slot for each relative
            position; 0 outside the document or the window.
        context_weights: float32 [R, C], 1 for words.
        nodes: int32 [R, M].
        labels: float32 [R, M].
        node_weights: float32 [R, M], for how many predictions a node counts: a negative for each
            predicted word that is another, padding for none. A node that is there twice counts at
            its first position for both, with the mean of the labels.
    """

    documents: np.ndarray
    context: np.ndarray
    context_weights: np.ndarray
    nodes: np.ndarray
    labels: np.ndarray
    node_weights: np.ndarray


class Corpus(NamedTuple):
    """Documents with the seed that decides their order and all draws.

    Attributes:
        tokens: int32 [total], document after document.
        offsets: int64 [N + 1], the start of each document.
        seed: the seed.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    seed: int


def empty_rows(count: int, s: Settings) -> Rows:
    """Returns rows of zeros, to be filled in."""
    context = (count, s.before + s.after)
    nodes = (count, s.predicted * s.paths.shape[1] + s.negatives)
    return Rows(
        documents=np.zeros(count, np.int32),
        context=np.zeros(context, np.int32),
        context_weights=np.zeros(context, np.float32),
        nodes=np.zeros(nodes, np.int32),
        labels=np.zeros(nodes, np.float32),
        node_weights=np.zeros(nodes, np.float32),
    )


def rows_of(tokens: np.ndarray, key: np.uint64, s: Settings) -> Rows:
    """Returns the rows of one document, numbered 0.

    Args:
        tokens: int32 [n], ids of the document.
        key: key from `key_of`.
        s: the settings.
    """
    key = np.uint64(key)  # compiled functions return an int
    kept = kept_words(tokens, key, s.keep)
    rows = empty_rows(-(-len(kept) // s.predicted), s)
    _fill(rows, kept, key, s)
    return rows


@compiled()
def fill(
    rows: Rows,
    first: int,
    last: int,
    position: np.ndarray,
    kept: np.ndarray,
    begun: int,
    corpus: Corpus,
    s: Settings,
) -> tuple[np.ndarray, int]:
    """Fills in rows first to last; returns the last document's words and the documents begun.

    Args:
        rows: the rows.
        first: first row to fill in.
        last: one past the last row.
        position: int64 [2], the document, counted over all epochs, and its next word; updated in
            place.
        kept: the words of that document.
        begun: number of documents begun in all epochs.
        corpus: the documents.
        s: the settings.
    """
    state = np.empty(1, np.uint64)
    rows, corpus, s = uncounted(rows), uncounted(corpus), uncounted(s)
    key, document = _document(position[0], corpus)
    for row in range(first, last):
        while position[1] >= len(kept):
            position[0], position[1] = begun, 0
            begun += 1
            key, document = _document(position[0], corpus)
            kept = kept_words(_tokens(corpus, document), key, s.keep)
        rows.documents[row] = document
        state[0] = _key_of_row(key, position[1])
        _write(rows, row, kept, position[1], state, s)
        position[1] += s.predicted
    return kept, begun


@compiled()
def words_at(position: np.ndarray, corpus: Corpus, s: Settings) -> np.ndarray:
    """Returns the kept words of the document at a position of the stream."""
    key, document = _document(position[0], corpus)
    return kept_words(_tokens(corpus, document), key, s.keep)


@compiled()
def kept_words(tokens: np.ndarray, key: np.uint64, keep: np.ndarray) -> np.ndarray:
    """Returns the tokens that are words and survive sub-sampling."""
    state = np.full(1, key, np.uint64)
    kept, count = np.empty(len(tokens), np.int32), 0
    for token in tokens:
        p = keep[token]
        if p > 0 and (p >= 1 or np.float32(_next(state) >> _32) * _UNIT < p):
            kept[count] = token
            count += 1
    return kept[:count].copy()


@compiled()
def key_of(seed: int, epoch: int, document: int) -> np.uint64:
    """Returns the key of a document in an epoch."""
    key = _mixed(_STEP ^ np.uint64(seed))
    key = _mixed(key + _STEP ^ np.uint64(epoch))
    return _mixed(key + _STEP ^ np.uint64(document))


@compiled()
def shuffled(index: int, count: int, key: np.uint64) -> np.int64:
    """Returns the document at an index of the random order of `count` documents.

    A Feistel network permutes the numbers below a power of 4; a result that is not below `count` is
    permuted again. So each document occurs once, and no permutation is stored.

    Source: Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains", section 4.
    """
    half = np.uint64(1)
    while np.uint64(1) << (half + half) < np.uint64(count):
        half += np.uint64(1)
    mask, x = (np.uint64(1) << half) - np.uint64(1), np.uint64(index)
    while True:
        left, right = x >> half, x & mask
        for turn in range(_ROUNDS):
            left, right = right, left ^ (_mixed(key + right + (np.uint64(turn) << _32)) & mask)
        x = left << half | right
        if x < np.uint64(count):
            return np.int64(x)


@inlined()
def _document(number: int, corpus: Corpus) -> tuple[np.uint64, np.int64]:
    """Returns key and number of a document, given its number over all epochs."""
    count = len(corpus.offsets) - 1
    epoch, index = number // count, number % count
    document = shuffled(index, count, key_of(corpus.seed, epoch, count))
    return key_of(corpus.seed, epoch, document), document


@inlined()
def _tokens(corpus: Corpus, document: np.int64) -> np.ndarray:
    """Returns the tokens of a document."""
    return corpus.tokens[corpus.offsets[document] : corpus.offsets[document + 1]]


@compiled()
def _fill(rows: Rows, kept: np.ndarray, key: np.uint64, s: Settings) -> None:
    """Fills in the rows of one document."""
    state = np.empty(1, np.uint64)
    for row in range(len(rows.nodes)):
        state[0] = _key_of_row(key, row * s.predicted)
        _write(rows, row, kept, row * s.predicted, state, s)


@compiled()
def _key_of_row(key: np.uint64, position: int) -> np.uint64:
    """Returns the key of the row at a position."""
    return _mixed(key ^ _mixed(_STEP + np.uint64(position)))


@inlined()
def _write(
    rows: Rows, row: int, kept: np.ndarray, start: int, state: np.ndarray, s: Settings
) -> None:
    """Fills in the row of the words from a position on."""
    end, length = min(start + s.predicted, len(kept)), s.paths.shape[1]
    _write_window(rows, row, kept, start, end, state, s)
    for position in range(start, end):
        word, first = kept[position], (position - start) * length
        for k in range(s.sizes[word]):
            _write_node(rows, row, first + k, first, s.paths[word, k], s.labels[word, k], ONE)
    for slot in range(s.predicted * length, s.predicted * length + s.negatives):
        drawn, weight = _drawn(state, s), ZERO
        for position in range(start, end):
            weight += np.float32(kept[position] != drawn)
        _write_node(rows, row, slot, slot, drawn, ZERO, weight)


@inlined()
def _write_node(
    rows: Rows, row: int, slot: int, known: int, node: int, label: np.float32, weight: np.float32
) -> None:
    """Fills in a node, or adds its weight to the one of the known slots that has this node."""
    for other in range(known):
        there = rows.node_weights[row, other]
        if rows.nodes[row, other] == node and there > 0:
            share = weight / (there + weight)
            rows.labels[row, other] += share * (label - rows.labels[row, other])
            rows.node_weights[row, other] += weight
            weight = ZERO
    rows.nodes[row, slot], rows.labels[row, slot] = node, label
    rows.node_weights[row, slot] = weight


@inlined()
def _write_window(
    rows: Rows,
    row: int,
    kept: np.ndarray,
    start: int,
    end: int,
    state: np.ndarray,
    s: Settings,
) -> None:
    """Fills in the words before a start and from an end on."""
    reach = s.least + _below(_next(state) & _LOW, max(s.before, s.after) - s.least + 1)
    for back in range(min(reach, s.before, start)):
        rows.context[row, s.before - 1 - back] = kept[start - 1 - back]
        rows.context_weights[row, s.before - 1 - back] = 1
    for ahead in range(min(reach, s.after, len(kept) - end)):
        rows.context[row, s.before + ahead] = kept[end + ahead]
        rows.context_weights[row, s.before + ahead] = 1


@inlined()
def _drawn(state: np.ndarray, s: Settings) -> np.int64:
    """Returns a word sampled with the alias table."""
    bits = _next(state)
    word = _below(bits & _LOW, len(s.accept))
    return word if np.float32(bits >> _32) * _UNIT < s.accept[word] else np.int64(s.alias[word])


@compiled()
def _below(bits: np.uint64, limit: int) -> np.int64:
    """Returns a uniform number from 0 to limit - 1, computed from 32 random bits."""
    return np.int64(bits * np.uint64(limit) >> _32)


@compiled()
def _next(state: np.ndarray) -> np.uint64:
    """Returns the generator's next 64 bits."""
    state[0] += _STEP
    return _mixed(state[0])


@compiled()
def _mixed(z: np.uint64) -> np.uint64:
    """Returns 64 bits that all depend on every bit of z."""
    z = (z ^ (z >> _30)) * _FIRST
    z = (z ^ (z >> _27)) * _SECOND
    return z ^ (z >> _31)
