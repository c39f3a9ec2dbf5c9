"""Training step of paragraph vectors on a CPU: one update per row of a batch."""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from absl import logging

from lm.engines import memory
from lm.engines.program import Outcome, Program, Ratios
from lm.engines.row_updates import Columns, Plan, Rates, Tables, update_rows
from lm.errors import ConfigError
from lm.mesh.cluster import host_copy
from lm.models.paragraph_vector import BagOfWords, concatenate
from lm.optim.optimizer import Optimizer
from lm.optim.sgd import SparseDescent
from lm.parts import part
from lm.ranges import PositiveInt
from lm.types import Features, Tree

_PIECES = 4  # of a batch for each thread, so that none waits long for the last


@part
class Engine:
    """Trains a `NodePrediction` by gradient descent; equals the other engines at batch size 1.

    The loss is the mean over the rows of a batch; the learning rate applies to each row. The norm
    of the gradient is not computed and is logged as 0.

    Args:
        objective: a `node_prediction.NodePrediction`.
        optimizer: `sgd.sgd` without momentum, clipping and average.
        features: a batch, or anything with a shape and dtype for each feature.
        microbatches: 1.
        threads: number of threads. With more than 1, two may write the same table row at once, so
            that runs, resumed ones too, are not reproducible bit for bit.

    Raises:
        ConfigError: the optimizer or a setting is not supported.
        UserError: there is not enough memory for a second copy of the tables.

    Source: Recht et al. 2011 (https://arxiv.org/abs/1106.5730) for threads without locks.
    """

    def __init__(
        self,
        *,
        objective: Any,
        optimizer: Optimizer,
        features: Features,
        microbatches: int = 1,
        threads: PositiveInt = 1,
    ) -> None:
        rule = optimizer.sparse
        if not isinstance(rule, SparseDescent) or optimizer.clip_norm is not None:
            raise ConfigError(
                "rowwise.Engine makes plain gradient descent: bind OPTIMIZER = @sgd.sgd without "
                "momentum and clip_norm, or remove train.train.engine"
            )
        self.program = Program(
            objective=objective, optimizer=optimizer, features=features, microbatches=microbatches
        )
        _require_copies(self.program.tables.variables)
        self.threads = threads
        if threads > 1:
            logging.warning(
                "%d threads write the tables without locks: faster, and no longer the same run "
                "twice nor after a resume; rowwise.Engine.threads = 1 is exact",
                threads,
            )
        self.pool = ThreadPoolExecutor(threads)
        num_words = features["context"].shape[1] if "context" in features else 0
        self._plan = plan_of(objective.model, num_words)
        self._tables: Tables | None = None

    def step(self, batch: Features) -> Outcome:
        """Makes one update per row."""
        tables, program = self._owned(), self.program
        rate = program.optimizer.learning_rate
        rates = Rates(*[float(rate)] * 3)
        pieces = self.threads * _PIECES
        blocks = zip(*(np.array_split(x, pieces) for x in columns(batch)), strict=True)
        losses = self.pool.map(
            lambda block: update_rows(tables, self._plan, rates, Columns(*block)), blocks
        )
        total = np.array([sum(losses), len(batch["nodes"])], "float32")
        accepted = np.isfinite(total[0])
        program.optimizer.rule.iterations.assign_add(1)
        program.meter.add(
            {"loss": total}, norm=np.float32(0), learning_rate=rate, accepted=accepted
        )
        return Outcome(accepted, {"loss": total}, np.full(len(program.paths), accepted))

    def evaluations(self, batches: Iterable[Features]) -> Iterator[Ratios]:
        """Yields the loss terms of every batch."""
        self.pull()
        for batch in batches:
            terms, _ = self.program.forward(batch, (), training=False)
            yield {name: (x[0], x[1]) for name, x in terms.items()}

    def predictions(self, batches: Iterable[Features]) -> Iterator[tuple[Ratios, Tree]]:
        """Yields the loss terms of every batch; there are no predictions."""
        return ((terms, ()) for terms in self.evaluations(batches))

    def logs(self) -> dict[str, float]:
        """Returns the means over the log window and starts a new window."""
        logs = self.program.meter.read()
        self.program.meter.reset()
        return logs

    def pull(self) -> None:
        """Copies the tables to the Keras variables."""
        if self._tables is None:
            return
        for layer in self.program.tables.layers:
            layer.table.assign(getattr(self._tables, layer.name))
        self._tables = None

    def push(self) -> None:
        """Copies the tables from the Keras variables; the next step does so anyway."""
        self._tables = None

    def _owned(self) -> Tables:
        """Returns the tables as arrays owned by this engine."""
        if self._tables is None:
            self._tables = tables_of(self.program.objective)
        return self._tables


def _require_copies(tables: Sequence[Any]) -> None:
    """Logs the size of the tables, and checks that memory suffices for a second copy."""
    size = memory.size(tables)
    logging.info("tables of %s, twice: as variables and as arrays", memory.gibibytes(size))
    memory.require(memory.Need(size, 0, 0, 0))


def columns(batch: Features) -> Columns:
    """Returns the features of a batch; without a context, a context of width 0."""
    rows = len(batch["nodes"])
    none = {"context": np.zeros((rows, 0), "int32"), "context_weights": np.zeros((rows, 0), "f4")}
    return Columns(**(none | dict(batch)))


def tables_of(objective: Any) -> Tables:
    """Returns copies of the tables of a built `NodePrediction`."""
    layers = (objective.model.documents, objective.model.words, objective.nodes)
    none = np.zeros((0, 0), np.float32)
    return Tables(*(none if x is None else host_copy(x.table.value) for x in layers))


def plan_of(model: Any, num_words: int) -> Plan:
    """Returns how a model computes vectors from the inputs of a row.

    Args:
        model: a model of `lm.models.paragraph_vector`.
        num_words: context words per row.

    Raises:
        ConfigError: documents and words have different widths.
    """
    tables = [x for x in (model.documents, model.words) if x is not None]
    if len({x.dim for x in tables}) > 1:
        raise ConfigError(
            "rowwise.Engine has one width of documents and words: bind one HIDDEN_DIM, or remove "
            "train.train.engine"
        )
    has_document = int(model.documents is not None)
    inputs = np.arange(has_document + (num_words if model.words is not None else 0))
    if isinstance(model, BagOfWords):
        return Plan(inputs, len(inputs), has_document, is_mean=0, skips=1)
    if inspect.unwrap(model.combine) is concatenate:
        return Plan(inputs, 1, has_document, is_mean=0, skips=0)
    return Plan(0 * inputs, 1, has_document, is_mean=1, skips=1)
