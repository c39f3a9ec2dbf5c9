"""One row of paragraph vectors as an update of its own, compiled for a processor's core.

    H = inputs;  G = a w (y − σ(H Uᵀ));  inputs += rate · G U;  U += rate · Gᵀ H

A row has I inputs, rows of the tables of documents and of words, of width q. Input i adds to part
`part[i]` of H [P, D], whose parts are so many numbers: a part is a whole vector in a bag of words,
one for each input, and in a mean, one for all; in a concatenation it is a piece of the one vector.

The tables are larger than a core's cache, so most of the time of a row is that of waiting for its
nodes: those of the next row are asked for before this one is worked on.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from lm.numba_loops import compiled, prefetch, uncounted

# Sums in any order, so that they use vector units; NaN and infinity stay what they are.
_loop = functools.partial(compiled, fastmath={"reassoc", "contract"})
_inlined = functools.partial(_loop, inline="always")
ZERO, ONE = np.float32(0), np.float32(1)


class Plan(NamedTuple):
    """How the inputs of a row make its vectors.

    Attributes:
        part: int64 [I], which part of H an input adds to.
        num_vectors: P.
        has_document: 1 if input 0 is the document, 0 if all are words.
        is_mean: 1 if the vector is the mean of its inputs, with the gradient of their sum; 0 if it
            is the sum.
        skips: 1 if a word without a weight is padding, 0 if it is the NULL word.
    """

    part: np.ndarray
    num_vectors: int
    has_document: int
    is_mean: int
    skips: int


class Tables(NamedTuple):
    """Float32 tables: documents [N, q], words [V, q], nodes [V, D]; no rows where there is none."""

    documents: np.ndarray
    words: np.ndarray
    nodes: np.ndarray


class Rates(NamedTuple):
    """Learning rates of the tables; with 0 nothing of a table is written, bit for bit."""

    documents: float
    words: float
    nodes: float


class Columns(NamedTuple):
    """The features of a batch: documents [B], context and its weights [B, C], the others [B, M].

    The nodes of a row are different ones, where their weights are not 0.
    """

    documents: np.ndarray
    context: np.ndarray
    context_weights: np.ndarray
    nodes: np.ndarray
    labels: np.ndarray
    node_weights: np.ndarray


class Work(NamedTuple):
    """What a row needs besides: float32.

    Attributes:
        share: [I], 1 for each input, 0 for padding.
        h: H [P, D].
        parts: the same numbers, [P D / q, q].
        gradient: [P], of G the column of one node.
        back: G U [P, D].
        back_parts: the same numbers, [P D / q, q].
    """

    share: np.ndarray
    h: np.ndarray
    parts: np.ndarray
    gradient: np.ndarray
    back: np.ndarray
    back_parts: np.ndarray


def update_rows(tables: Tables, plan: Plan, rates: Rates, batch: Columns) -> float:
    """Makes an update of every row, one after the other; returns the sum of their losses."""
    h = np.zeros((plan.num_vectors, tables.nodes.shape[1]), np.float32)
    width = max(tables.documents.shape[1], tables.words.shape[1])
    back, parts = np.zeros_like(h), (h.size // width, width)
    share, gradient = np.zeros(len(plan.part), np.float32), np.zeros(len(h), np.float32)
    work = Work(share, h, h.reshape(parts), gradient, back, back.reshape(parts))
    return _update_rows(tables, plan, rates, batch, work)


@_loop()
def _update_rows(tables: Tables, plan: Plan, rates: Rates, batch: Columns, work: Work) -> float:
    """Does so; all arrays are the caller's."""
    tables, plan = uncounted(tables), uncounted(plan)
    batch, work = uncounted(batch), uncounted(work)
    loss, last = 0.0, len(batch.nodes) - 1
    for row in range(len(batch.nodes)):
        for m in range(batch.nodes.shape[1]):
            prefetch(tables.nodes, batch.nodes[min(row + 1, last), m])
        _read(tables, plan, batch, row, work)
        loss += _update_nodes(tables.nodes, batch, row, work, np.float32(rates.nodes))
        _update_inputs(tables, plan, rates, batch, row, work)
    return loss


@_inlined()
def _read(tables: Tables, plan: Plan, batch: Columns, row: int, work: Work) -> None:
    """Fills in the shares and the vectors H."""
    work.h[:] = 0
    total = ZERO
    for i in range(len(work.share)):
        slot = i - plan.has_document
        share = batch.context_weights[row, slot] if slot >= 0 and plan.skips else ONE
        work.share[i] = share
        total += share
        if slot < 0:
            _add(share, tables.documents, batch.documents[row], work.parts, plan.part[i])
        elif share > 0:
            _add(share, tables.words, batch.context[row, slot], work.parts, plan.part[i])
    if plan.is_mean:
        for d in range(work.h.shape[1]):
            work.h[0, d] /= max(total, ONE)


@_inlined()
def _update_nodes(
    table: np.ndarray, batch: Columns, row: int, work: Work, rate: np.float32
) -> float:
    """Adds rate · Gᵀ H to the nodes and fills in G U, node by node; returns the loss."""
    loss = 0.0
    work.back[:] = 0
    for m in range(batch.nodes.shape[1]):
        w, y, node = batch.node_weights[row, m], batch.labels[row, m], batch.nodes[row, m]
        if w == 0:
            continue
        for p in range(len(work.h)):
            a = w * work.share[p] if len(work.h) > 1 else w
            z = _dot(work.h, p, table, node)
            e = math.exp(-abs(z))  # at most 1
            work.gradient[p] = a * (y - (ONE if z > 0 else e) / (ONE + e))
            loss += a * (max(z, ZERO) + math.log(ONE + e) - y * z)
        _exchange(work, rate, table, node)
    return loss


@_inlined()
def _exchange(work: Work, rate: np.float32, table: np.ndarray, node: int) -> None:
    """Fills in G U and adds rate · Gᵀ H to a node; for one vector in one pass over the node."""
    if len(work.h) == 1 and rate > 0:
        gradient = work.gradient[0]
        for d in range(table.shape[1]):
            u = table[node, d]
            work.back[0, d] += gradient * u
            table[node, d] = u + rate * gradient * work.h[0, d]
    else:
        for p in range(len(work.h)):
            _add(work.gradient[p], table, node, work.back, p)
        for p in range(len(work.h) if rate > 0 else 0):
            _add(rate * work.gradient[p], work.h, p, table, node)


@_inlined()
def _update_inputs(
    tables: Tables, plan: Plan, rates: Rates, batch: Columns, row: int, work: Work
) -> None:
    """Adds rate · G U to the inputs, to each its part."""
    for i in range(len(work.share)):
        slot = i - plan.has_document
        rate = work.share[i] * np.float32(rates.documents if slot < 0 else rates.words)
        if rate > 0 and slot < 0:
            _add(rate, work.back_parts, plan.part[i], tables.documents, batch.documents[row])
        elif rate > 0:
            _add(rate, work.back_parts, plan.part[i], tables.words, batch.context[row, slot])


@_inlined()
def _dot(x: np.ndarray, i: int, y: np.ndarray, j: int) -> np.float32:
    """Returns x_i · y_j."""
    total = ZERO
    for d in range(x.shape[1]):
        total += x[i, d] * y[j, d]
    return total


@_inlined()
def _add(a: np.float32, x: np.ndarray, i: int, y: np.ndarray, j: int) -> None:
    """Adds a x_i to y_j."""
    for d in range(x.shape[1]):
        y[j, d] += a * x[i, d]
