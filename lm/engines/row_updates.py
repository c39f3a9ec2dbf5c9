"""Training of paragraph vectors with one update per row, compiled for one CPU core.

    H = inputs;  G = a w (y − σ(H Uᵀ));  inputs += rate · G U;  U += rate · Gᵀ H

The I inputs of a row are rows of the document and word tables, of width q. Input i is added to part
`part[i]` of H [P, D]. In a bag of words every input is a vector of its own, in a mean all inputs
share one vector, and in a concatenation each input fills its own part of one vector.

The tables do not fit in a core's cache, so most of the time is spent waiting for memory: the nodes
of the next row are prefetched before the current one is updated.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np

from lm.numba_loops import ONE, ZERO, compiled, prefetch, uncounted

# Sums may be reordered, so that they are vectorised; NaN and infinity are still respected.
_loop = functools.partial(compiled, fastmath={"reassoc", "contract"})
_inlined = functools.partial(_loop, inline="always")


class Plan(NamedTuple):
    """How the vectors H are computed from the inputs of a row.

    Attributes:
        part: int64 [I], the part of H to which each input is added.
        num_vectors: P.
        has_document: 1 if input 0 is the document, 0 if all inputs are words.
        is_mean: 1 if the vector is the mean of its inputs, with the gradient of their sum; 0 if it
            is the sum.
        skips: 1 if a word of weight 0 is padding, 0 if it is the NULL word.
    """

    part: np.ndarray
    num_vectors: int
    has_document: int
    is_mean: int
    skips: int


class Tables(NamedTuple):
    """Float32 tables: documents [N, q], words [V, q], nodes [V, D]; an unused table has no rows."""

    documents: np.ndarray
    words: np.ndarray
    nodes: np.ndarray


class Rates(NamedTuple):
    """Learning rates of the tables; a table with rate 0 is not written and stays bit for bit."""

    documents: float
    words: float
    nodes: float


class Columns(NamedTuple):
    """Features of a batch: documents [B], context and context weights [B, C], the others [B, M].

    The nodes of a row with non-zero weights are distinct.
    """

    documents: np.ndarray
    context: np.ndarray
    context_weights: np.ndarray
    nodes: np.ndarray
    labels: np.ndarray
    node_weights: np.ndarray


class Work(NamedTuple):
    """Float32 buffers for one row.

    Attributes:
        share: [I], 1 for each input, 0 for padding.
        h: H [P, D].
        parts: the same memory as [P D / q, q].
        gradient: [P], the column of G for one node.
        back: G U [P, D].
        back_parts: the same memory as [P D / q, q].
    """

    share: np.ndarray
    h: np.ndarray
    parts: np.ndarray
    gradient: np.ndarray
    back: np.ndarray
    back_parts: np.ndarray


def update_rows(tables: Tables, plan: Plan, rates: Rates, batch: Columns) -> float:
    """Updates the tables for every row in turn and returns the sum of the losses."""
    h = np.zeros((plan.num_vectors, tables.nodes.shape[1]), np.float32)
    width = max(tables.documents.shape[1], tables.words.shape[1])
    back, parts = np.zeros_like(h), (h.size // width, width)
    share, gradient = np.zeros(len(plan.part), np.float32), np.zeros(len(h), np.float32)
    work = Work(share, h, h.reshape(parts), gradient, back, back.reshape(parts))
    return _compiled_for(width, h.shape[1])(tables, plan, rates, batch, work)


@functools.cache
def _compiled_for(width: int, node_width: int) -> Callable[..., float]:
    """Returns `_update_rows` compiled for these widths: loops of known length are faster."""

    @_loop()
    def update(tables: Tables, plan: Plan, rates: Rates, batch: Columns, work: Work) -> float:
        return _update_rows(tables, plan, rates, batch, work, width, node_width)

    return cast(Callable[..., float], update)


@_inlined()
def _update_rows(
    tables: Tables,
    plan: Plan,
    rates: Rates,
    batch: Columns,
    work: Work,
    width: int,
    node_width: int,
) -> float:
    """Updates the tables, using the buffers of the caller."""
    tables, plan = uncounted(tables), uncounted(plan)
    batch, work = uncounted(batch), uncounted(work)
    loss, last = 0.0, len(batch.nodes) - 1
    for row in range(len(batch.nodes)):
        for m in range(batch.nodes.shape[1]):
            prefetch(tables.nodes, batch.nodes[min(row + 1, last), m])
        _read(tables, plan, batch, row, work, width)
        loss += _update_nodes(tables.nodes, batch, row, work, np.float32(rates.nodes), node_width)
        _update_inputs(tables, plan, rates, batch, row, work, width)
    return loss


@_inlined()
def _read(tables: Tables, plan: Plan, batch: Columns, row: int, work: Work, width: int) -> None:
    """Computes the shares and the vectors H."""
    work.h[:] = 0
    total = ZERO
    for i in range(len(work.share)):
        slot = i - plan.has_document
        share = batch.context_weights[row, slot] if slot >= 0 and plan.skips else ONE
        work.share[i] = share
        total += share
        if slot < 0:
            _add(share, tables.documents, batch.documents[row], work.parts, plan.part[i], width)
        elif share > 0:
            _add(share, tables.words, batch.context[row, slot], work.parts, plan.part[i], width)
    if plan.is_mean:
        for d in range(width):
            work.h[0, d] /= max(total, ONE)


@_inlined()
def _update_nodes(
    table: np.ndarray, batch: Columns, row: int, work: Work, rate: np.float32, width: int
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
            z = _dot(work.h, p, table, node, width)
            e = math.exp(-abs(z))  # at most 1
            work.gradient[p] = a * (y - (ONE if z > 0 else e) / (ONE + e))
            loss += a * (max(z, ZERO) + math.log(ONE + e) - y * z)
        _exchange(work, rate, table, node, width)
    return loss


@_inlined()
def _exchange(work: Work, rate: np.float32, table: np.ndarray, node: int, width: int) -> None:
    """Fills in G U and adds rate · Gᵀ H to a node; for one vector in one pass over the node."""
    if len(work.h) == 1 and rate > 0:
        gradient = work.gradient[0]
        for d in range(width):
            u = table[node, d]
            work.back[0, d] += gradient * u
            table[node, d] = u + rate * gradient * work.h[0, d]
    else:
        for p in range(len(work.h)):
            _add(work.gradient[p], table, node, work.back, p, width)
        for p in range(len(work.h) if rate > 0 else 0):
            _add(rate * work.gradient[p], work.h, p, table, node, width)


@_inlined()
def _update_inputs(
    tables: Tables, plan: Plan, rates: Rates, batch: Columns, row: int, work: Work, width: int
) -> None:
    """Adds rate · G U to the inputs, to each its part."""
    for i in range(len(work.share)):
        slot = i - plan.has_document
        rate = work.share[i] * np.float32(rates.documents if slot < 0 else rates.words)
        if rate > 0 and slot < 0:
            _add(rate, work.back_parts, plan.part[i], tables.documents, batch.documents[row], width)
        elif rate > 0:
            _add(rate, work.back_parts, plan.part[i], tables.words, batch.context[row, slot], width)


@_inlined()
def _dot(x: np.ndarray, i: int, y: np.ndarray, j: int, width: int) -> np.float32:
    """Returns x_i · y_j."""
    total = ZERO
    for d in range(width):
        total += x[i, d] * y[j, d]
    return total


@_inlined()
def _add(a: np.float32, x: np.ndarray, i: int, y: np.ndarray, j: int, width: int) -> None:
    """Adds a x_i to y_j."""
    for d in range(width):
        y[j, d] += a * x[i, d]
