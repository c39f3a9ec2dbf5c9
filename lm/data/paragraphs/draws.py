"""The rows of one document: its windows and all that is drawn for them, compiled.

What is drawn depends on the key and on the document alone. The generator is splitmix64, whose state
is one number.

Source: Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number Generators".
"""

import functools
from typing import NamedTuple

import numba
import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 2.0**-53

compiled = functools.partial(numba.njit, cache=True, nogil=True, error_model="numpy")


class Settings(NamedTuple):
    """How a document becomes rows.

    Attributes:
        before: most context words before a word.
        after: most context words after it.
        least: fewest on either side: the reach is drawn evenly from here to the most.
        targets: words that a row predicts, T; with a context 1.
        negatives: words drawn against each word that is there.
        draws: words drawn in a row; each counts T · negatives / draws times.
        keep: float32 [V], the probability that an occurrence of a word is kept; 0 where the id is
            no word.
        paths: int32 [V, L], see `lm.data.paragraphs.nodes.Nodes`, like the following.
        labels: float32 [V, L].
        sizes: int32 [V].
        accept: float32 [V].
        alias: int32 [V].
    """

    before: int
    after: int
    least: int
    targets: int
    negatives: int
    draws: int
    keep: np.ndarray
    paths: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray
    accept: np.ndarray
    alias: np.ndarray


class Rows(NamedTuple):
    """R rows of a document, C = before + after, M = T · L + draws.

    Attributes:
        context: int32 [R, C], slot c the word so many positions before or after; 0 beyond the
            border or the reach.
        context_weights: float32 [R, C], 1 where there is a word.
        nodes: int32 [R, M].
        labels: float32 [R, M].
        node_weights: float32 [R, M], 0 for padding and for a word drawn that is there.
    """

    context: np.ndarray
    context_weights: np.ndarray
    nodes: np.ndarray
    labels: np.ndarray
    node_weights: np.ndarray


@compiled()
def key_of(seed: int, epoch: int, document: int) -> np.ndarray:
    """Returns the key of a document in an epoch, uint64 [1], the state of its generator."""
    state = np.zeros(1, np.uint64)
    for number in (seed, epoch, document):
        state[0] = state[0] ^ np.uint64(number)
        state[0] = _next(state)
    return state


@compiled()
def rows_of(tokens: np.ndarray, state: np.ndarray, s: Settings) -> Rows:
    """Returns the rows of a document.

    Args:
        tokens: int32 [n], its ids.
        state: of `key_of`; it is changed.
        s: the settings.
    """
    kept = _kept(tokens, state, s.keep)
    count, length = -(-len(kept) // s.targets), s.paths.shape[1]
    width, size = s.before + s.after, s.targets * length + s.draws
    context = np.zeros((count, width), np.int32)
    context_weights = np.zeros((count, width), np.float32)
    nodes = np.zeros((count, size), np.int32)
    labels = np.zeros((count, size), np.float32)
    weights = np.zeros((count, size), np.float32)
    for row in range(count):
        first = row * s.targets
        targets = kept[first : first + s.targets]
        _window(kept, first, state, s, context[row], context_weights[row])
        for i, word in enumerate(targets):
            for k in range(s.sizes[word]):
                at = i * length + k
                nodes[row, at], labels[row, at] = s.paths[word, k], s.labels[word, k]
                weights[row, at] = 1
        for k in range(s.draws):
            at, word = s.targets * length + k, _drawn(state, s)
            others = np.sum(targets != word)
            nodes[row, at] = word
            weights[row, at] = s.negatives * others / s.draws
    return Rows(context, context_weights, nodes, labels, weights)


@compiled()
def _window(
    kept: np.ndarray,
    at: int,
    state: np.ndarray,
    s: Settings,
    context: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Fills in the words around position `at`."""
    most = max(s.before, s.after)
    if most == 0:
        return
    reach = s.least + _below(state, most - s.least + 1)
    for slot in range(s.before + s.after):
        offset = slot - s.before + (slot >= s.before)
        if 0 <= at + offset < len(kept) and abs(offset) <= reach:
            context[slot], weights[slot] = kept[at + offset], 1


@compiled()
def _kept(tokens: np.ndarray, state: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Returns the tokens that are words and are kept."""
    kept, count = np.empty_like(tokens), 0
    for token in tokens:
        p = keep[token]
        if p > 0 and (p >= 1 or _uniform(state) < p):
            kept[count] = token
            count += 1
    return kept[:count]


@compiled()
def _drawn(state: np.ndarray, s: Settings) -> np.int64:
    """Returns a word drawn from the alias table."""
    word = _below(state, len(s.accept))
    return word if _uniform(state) < s.accept[word] else np.int64(s.alias[word])


@compiled()
def _below(state: np.ndarray, limit: int) -> np.int64:
    """Returns a number drawn evenly from 0 to limit - 1."""
    return np.int64(_uniform(state) * limit)


@compiled()
def _uniform(state: np.ndarray) -> float:
    """Returns a number drawn evenly from [0, 1)."""
    return np.float64(_next(state) >> _11) * _UNIT


@compiled()
def _next(state: np.ndarray) -> np.uint64:
    """Returns the next 64 bits."""
    state[0] += _STEP
    z = state[0]
    z = (z ^ (z >> _30)) * _FIRST
    z = (z ^ (z >> _27)) * _SECOND
    return z ^ (z >> _31)
