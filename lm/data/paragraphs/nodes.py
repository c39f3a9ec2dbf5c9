"""The output nodes that predict a word: the word and negative samples, or its path in a tree.

negative_sampling       the word → 1, k words drawn from counts^(3/4) → 0
hierarchical_softmax    every inner node on the word's path → 1 for left, 0 for right
"""

import heapq
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from lm.errors import UserError
from lm.parts import part
from lm.ranges import NonNegativeFloat, PositiveInt

MIN_WORDS = 2


class Nodes(NamedTuple):
    """The output nodes of each of V words.

    Attributes:
        paths: int32 [V, L], the nodes of each word v, the first sizes[v] of the row.
        labels: float32 [V, L], 1 or 0 for each.
        sizes: int32 [V].
        negatives: number of negative samples per row.
        accept: float32 [V], see `alias_table`.
        alias: int32 [V].
    """

    paths: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray
    negatives: int
    accept: np.ndarray
    alias: np.ndarray


NodesOf: TypeAlias = Callable[[np.ndarray], Nodes]
"""Counts of the words, int64 [V], 0 for ids that are not words -> their nodes."""


@part
def negative_sampling(
    counts: np.ndarray, *, negatives: PositiveInt = 5, power: NonNegativeFloat = 0.75
) -> Nodes:
    """Returns each word as its own node, with negative samples from p(v) ~ counts^power.

    Args:
        counts: counts of the words.
        negatives: k, 5 to 20 for small corpora.
        power: 3/4 in the paper.

    Source: Mikolov et al. 2013 (https://arxiv.org/abs/1310.4546), section 2.2.
    """
    present = counts > 0
    if present.sum() < MIN_WORDS:
        raise UserError(f"{int(present.sum())} words are no vocabulary: lower min_count")
    accept, alias = alias_table(np.where(present, counts.astype(float) ** power, 0))
    return Nodes(
        paths=np.arange(len(counts), dtype=np.int32)[:, None],
        labels=np.ones((len(counts), 1), np.float32),
        sizes=present.astype(np.int32),
        negatives=negatives,
        accept=accept,
        alias=alias,
    )


@part
def hierarchical_softmax(counts: np.ndarray) -> Nodes:
    """Returns the path of each word in the Huffman tree of the counts: p(v) = Π σ(±z).

    Source: Le and Mikolov 2014 (https://arxiv.org/abs/1405.4053), section 2.1; Morin and Bengio
    2005.
    """
    codes = huffman(counts)
    length = max(len(code) for code in codes)
    shape = (len(counts), length)
    paths, labels = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    for word, code in enumerate(codes):
        paths[word, : len(code)] = [node for node, _ in code]
        labels[word, : len(code)] = [1 - bit for _, bit in code]
    sizes = np.array([len(code) for code in codes], np.int32)
    none = np.zeros(1)
    return Nodes(paths, labels, sizes, 0, none.astype(np.float32), none.astype(np.int32))


def huffman(counts: np.ndarray) -> list[list[tuple[int, int]]]:
    """Returns the inner nodes from the root to each word, each with 0 for left or 1 for right.

    Words with count 0 have no path.

    Example:
        >>> huffman(np.array([0, 5, 2, 1]))
        [[], [(1, 1)], [(1, 0), (0, 1)], [(1, 0), (0, 0)]]
    """
    heap = [(int(count), word) for word, count in enumerate(counts) if count > 0]
    if len(heap) < MIN_WORDS:
        raise UserError(f"{len(heap)} words are no vocabulary: lower min_count")
    heapq.heapify(heap)
    parents: dict[int, tuple[int, int]] = {}
    first = len(counts)  # inner nodes are numbered after the words
    for node in range(len(heap) - 1):
        (least, left), (more, right) = heapq.heappop(heap), heapq.heappop(heap)
        parents[left], parents[right] = (node, 0), (node, 1)
        heapq.heappush(heap, (least + more, first + node))
    ways: dict[int, list[tuple[int, int]]] = {}
    for node in range(len(parents) // 2 - 1, -1, -1):  # parents have higher numbers
        parent = parents.get(first + node)
        ways[node] = [] if parent is None else [*ways[parent[0]], parent]
    found = [parents.get(word) for word in range(first)]
    return [[] if parent is None else [*ways[parent[0]], parent] for parent in found]


def alias_table(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns accept [V] and alias [V], for sampling a word in constant time.

    Draw v uniformly; keep it with probability accept[v], else take alias[v].

    Example:
        >>> [x.tolist() for x in alias_table(np.array([0.0, 1.0, 3.0, 0.0]))]
        [[0.0, 1.0, 1.0, 0.0], [2, 1, 2, 2]]

    Source: Walker 1977; Vose 1991.
    """
    share = weights * len(weights) / weights.sum()
    alias = np.arange(len(weights), dtype=np.int32)
    accept = np.ones(len(weights), np.float32)
    small = [v for v in range(len(share)) if share[v] < 1]
    large = [v for v in range(len(share)) if share[v] >= 1]
    while small and large:
        low, high = small.pop(), large.pop()
        accept[low], alias[low] = share[low], high
        share[high] -= 1 - share[low]
        (small if share[high] < 1 else large).append(high)
    return accept, alias
