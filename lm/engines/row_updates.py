"""One row of paragraph vectors as an update of its own, compiled for a processor's core.

    H = inputs;  G = a w (y − σ(H Uᵀ));  inputs += rate · G U;  U += rate · Gᵀ H

A row has I inputs, rows of the tables of documents and of words. Input i adds to vector `vector[i]`
of H [P, D] from column `column[i]` on: to a vector of its own in a bag of words, to the one vector
in a distributed memory, which is their mean or their concatenation.
"""

import functools
import math
from typing import NamedTuple

import numba
import numpy as np

# Sums in any order, so that they use vector units; NaN and infinity stay what they are.
compiled = functools.partial(
    numba.njit, cache=True, nogil=True, fastmath={"reassoc", "contract"}, error_model="numpy"
)
ZERO, ONE = np.float32(0), np.float32(1)


class Plan(NamedTuple):
    """How the inputs of a row make its vectors.

    Attributes:
        vector: int64 [I], which vector an input adds to.
        column: int64 [I], from which column on.
        num_vectors: P.
        width: D, that of the nodes too.
        has_document: 1 if input 0 is the document, 0 if all are words.
        is_mean: 1 if the vector is the mean of its inputs, 0 if an input is added as it is.
        skips: 1 if a word without a weight is padding, 0 if it is the NULL word.
    """

    vector: np.ndarray
    column: np.ndarray
    num_vectors: int
    width: int
    has_document: int
    is_mean: int
    skips: int


class Tables(NamedTuple):
    """Float32 tables: documents [N, p], words [V, q], nodes [V, D]; no rows where there is none."""

    documents: np.ndarray
    words: np.ndarray
    nodes: np.ndarray


class Rates(NamedTuple):
    """Learning rates of the tables; with 0 nothing of a table is written, bit for bit."""

    documents: float
    words: float
    nodes: float


class Columns(NamedTuple):
    """The features of a batch: documents [B], context and its weights [B, C], the others [B, M]."""

    documents: np.ndarray
    context: np.ndarray
    context_weights: np.ndarray
    nodes: np.ndarray
    labels: np.ndarray
    node_weights: np.ndarray


class Work(NamedTuple):
    """What a row needs besides: float32.

    Attributes:
        share: [I], by how much each input counts in its vector, 0 for padding.
        h: [P, D].
        gradient: G [P, M].
        back: G U [P, D].
    """

    share: np.ndarray
    h: np.ndarray
    gradient: np.ndarray
    back: np.ndarray


@compiled()
def update_rows(tables: Tables, plan: Plan, rates: Rates, batch: Columns) -> float:
    """Makes an update of every row, one after the other; returns the sum of their losses."""
    h = np.zeros((plan.num_vectors, plan.width), np.float32)
    gradient = np.zeros((plan.num_vectors, batch.nodes.shape[1]), np.float32)
    work = Work(np.zeros(len(plan.vector), np.float32), h, gradient, np.zeros_like(h))
    loss = 0.0
    for row in range(len(batch.nodes)):
        _read(tables, plan, batch, row, work)
        loss += _differentiate(tables.nodes, batch, row, work)
        if rates.nodes > 0:
            _write_nodes(tables.nodes, batch.nodes[row], work, np.float32(rates.nodes))
        _write_inputs(tables, plan, rates, batch, row, work)
    return loss


@compiled()
def _read(tables: Tables, plan: Plan, batch: Columns, row: int, work: Work) -> None:
    """Fills in the shares and the vectors H."""
    weights = batch.context_weights[row]
    work.share[: plan.has_document] = 1
    for slot in range(len(weights)):
        work.share[plan.has_document + slot] = weights[slot] if plan.skips else 1
    if plan.is_mean:
        work.share[:] /= max(np.sum(work.share), ONE)
    work.h[:] = 0
    for i in range(len(work.share)):
        x = _input(tables, plan, batch, row, i)
        _add(work.share[i], x, work.h[plan.vector[i], plan.column[i] :])


@compiled()
def _differentiate(table: np.ndarray, batch: Columns, row: int, work: Work) -> float:
    """Fills in G and G U; returns the loss."""
    loss, work.back[:] = 0.0, 0
    for p in range(len(work.h)):
        a = work.share[p] if len(work.h) > 1 else ONE
        for m in range(batch.nodes.shape[1]):
            w, y = a * batch.node_weights[row, m], batch.labels[row, m]
            u = table[batch.nodes[row, m]]
            work.gradient[p, m] = 0
            if w > 0:
                z = _dot(work.h[p], u)
                e = math.exp(-abs(z))  # at most 1
                work.gradient[p, m] = w * (y - (ONE if z > 0 else e) / (ONE + e))
                loss += w * (max(z, ZERO) + math.log(ONE + e) - y * z)
                _add(work.gradient[p, m], u, work.back[p])
    return loss


@compiled()
def _write_nodes(table: np.ndarray, nodes: np.ndarray, work: Work, rate: np.float32) -> None:
    """Adds rate · Gᵀ H to the nodes, one of which may be there twice."""
    for p in range(len(work.h)):
        for m in range(len(nodes)):
            _add(rate * work.gradient[p, m], work.h[p], table[nodes[m]])


@compiled()
def _write_inputs(
    tables: Tables, plan: Plan, rates: Rates, batch: Columns, row: int, work: Work
) -> None:
    """Adds rate · G U to the inputs, to each what of it comes from its own columns."""
    for i in range(len(work.share)):
        rate = np.float32(rates.documents if i < plan.has_document else rates.words)
        x = _input(tables, plan, batch, row, i)
        _add(rate * work.share[i], work.back[plan.vector[i], plan.column[i] :][: len(x)], x)


@compiled()
def _input(tables: Tables, plan: Plan, batch: Columns, row: int, i: int) -> np.ndarray:
    """Returns the row of a table that input i is."""
    if i < plan.has_document:
        return tables.documents[batch.documents[row]]
    return tables.words[batch.context[row, i - plan.has_document]]


@compiled()
def _dot(x: np.ndarray, y: np.ndarray) -> np.float32:
    """Returns x · y."""
    total = ZERO
    for d in range(len(x)):
        total += x[d] * y[d]
    return total


@compiled()
def _add(a: np.float32, x: np.ndarray, y: np.ndarray) -> None:
    """Adds a x to y; with a = 0 nothing is written."""
    if a != 0:
        for d in range(len(x)):
            y[d] += a * x[d]
