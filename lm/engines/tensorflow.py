"""The step on TensorFlow: one XLA function over the Keras variables, looping over microbatches."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from lm.engines.program import Outcome, Program, Ratios
from lm.nn.branch import State
from lm.nn.sparse_table import given_rows
from lm.objectives.objective import initial_carry
from lm.optim.optimizer import Optimizer
from lm.types import Features, Tree

Tensors: TypeAlias = list[tf.Tensor]
Terms: TypeAlias = dict[str, tf.Tensor]
Rows: TypeAlias = list[list[tf.Tensor]]
"""The rows that a batch reads from every sparse table and its slots."""


class Engine:
    """Runs an objective and an optimizer, compiled.

    Args:
        objective: a model with `terms`.
        optimizer: its update rule.
        features: a batch, or for each feature anything with its shape and dtype.
        microbatches: parts of a batch whose gradients are summed before the update.
    """

    def __init__(
        self, *, objective: Any, optimizer: Optimizer, features: Features, microbatches: int = 1
    ) -> None:
        self.program = Program(
            objective=objective, optimizer=optimizer, features=features, microbatches=microbatches
        )
        self._train = tf.function(self._train_step, jit_compile=True, autograph=False)
        self._evaluate = tf.function(self._evaluate_step, jit_compile=True, autograph=False)
        self._predict = tf.function(self._predict_step, jit_compile=True, autograph=False)

    def step(self, batch: Features) -> Outcome:
        """Makes one update from a batch; on an accelerator, without waiting for it."""
        features, tables = _tensors(batch), self.program.tables
        # Outside of XLA, tables are read and written in place, without a copy.
        outcome, after = self._train(features, tables.rows(features, _read_rows))
        tables.write(features, after, _put_rows)
        return outcome

    def evaluations(self, batches: Iterable[Features]) -> Iterator[Ratios]:
        """Yields the terms of every batch; the carry is passed from each to the next."""
        carry = None
        for batch in batches:
            carry = initial_carry(self.program.objective, batch) if carry is None else carry
            terms, carry = self._evaluate(_tensors(batch), carry)
            yield {name: (x[0], x[1]) for name, x in terms.items()}

    def predictions(self, batches: Iterable[Features]) -> Iterator[tuple[Ratios, Tree]]:
        """Yields the terms of every batch and what the objective predicts for its rows."""
        for batch in batches:
            terms, found = self._predict(_tensors(batch))
            yield {name: (x[0], x[1]) for name, x in terms.items()}, found

    def logs(self) -> dict[str, float]:
        """Returns the means of the log window and starts a new one; waits for the device."""
        logs = self.program.meter.read()
        self.program.meter.reset()
        return logs

    def pull(self) -> None:
        """Nothing to do: the Keras variables are the state."""

    def push(self) -> None:
        """Nothing to do: the Keras variables are the state."""

    def _train_step(self, batch: Features, rows: Rows) -> tuple[Outcome, Rows]:
        """Changes the state by one update; returns its outcome and the rows of sparse tables."""
        # Keras' convert_to_tensor returns a variable unread; identity reads its value here.
        before = [tf.identity(v.value) for v in self.program.guarded]
        gradients, by_rows, terms = self._gradients(batch, [group[0] for group in rows])
        touched = self.program.tables.touched(batch, rows, by_rows)
        return self.program.update(gradients=gradients, terms=terms, before=before, touched=touched)

    def _gradients(self, batch: Features, rows: Tensors) -> tuple[Tensors, Tensors, Terms]:
        """Returns the summed gradients and terms of all microbatches; changes the carry.

        Gradients are those of the weights, and of the rows of sparse tables.
        """
        program = self.program
        carry = [tf.identity(v.value) for v in program.carry.variables]
        if program.microbatches == 1:
            gradients, by_rows, terms, carry = self._differentiate(carry, rows, batch)
            program.carry.assign(carry)
            return gradients, by_rows, terms
        carry, rows, parts = program.split((carry, rows, batch))

        def add(
            i: tf.Tensor,
            gradients: Tensors,
            terms: Terms,
            carry: Tensors,
            by_rows: Tensors,
        ) -> tuple:
            part = {name: x[i] for name, x in parts.items()}
            more, more_by_rows, more_terms, after = self._differentiate(
                [x[i] for x in carry], [x[i] for x in rows], part
            )
            gradients = [g + tf.cast(m, "float32") for g, m in zip(gradients, more, strict=True)]
            terms = {name: x + more_terms[name] for name, x in terms.items()}
            carry = [_put(x, i, y) for x, y in zip(carry, after, strict=True)]
            by_rows = [_put(x, i, y) for x, y in zip(by_rows, more_by_rows, strict=True)]
            return i + 1, gradients, terms, carry, by_rows

        zeros = [tf.zeros(w.shape, "float32") for w in program.weights]
        terms = {name: tf.zeros((2,)) for name in program.terms}
        count = program.microbatches
        by_rows = [tf.zeros_like(x) for x in rows]
        loop = tf.while_loop(lambda i, *_: i < count, add, (0, zeros, terms, carry, by_rows))
        program.carry.assign(program.join(loop[3]))
        return loop[1], program.join(loop[4]), loop[2]

    def _differentiate(
        self, carry: Tensors, rows: Tensors, batch: Features
    ) -> tuple[Tensors, Tensors, Terms, Tensors]:
        """Returns the gradients of the sum of losses by weights and rows, the terms, the carry."""
        variables = [w.value for w in self.program.weights]
        given = given_rows(self.program.tables.by_path(rows))
        with tf.GradientTape() as tape, given:
            tape.watch(rows)
            held = self.program.carry.packed(carry)
            terms, after = self.program.forward(batch, held, training=True)
            loss = terms["loss"][0]
        gradients = tape.gradient(
            loss, [*variables, *rows], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        dense = [tf.convert_to_tensor(g) for g in gradients]
        count = len(variables)
        return dense[:count], dense[count:], terms, keras.tree.flatten(after)

    def _evaluate_step(self, batch: Features, carry: State) -> tuple[dict[str, tf.Tensor], State]:
        """Returns terms and carry of one batch; other changes of the state are dropped."""
        with keras.StatelessScope(state_mapping=self.program.averaged()):
            return self.program.forward(batch, carry, training=False)

    def _predict_step(self, batch: Features) -> tuple[dict[str, tf.Tensor], Tree]:
        """Returns terms and predictions of one batch; changes of the state are dropped."""
        with keras.StatelessScope(state_mapping=self.program.averaged()):
            return self.program.predict(batch)


def _read_rows(table: Any, ids: tf.Tensor) -> tf.Tensor:
    """Returns rows of a variable."""
    return tf.gather(table.value, ids)


def _put_rows(table: Any, ids: tf.Tensor, rows: tf.Tensor) -> None:
    """Writes rows of a variable in place."""
    table.value.scatter_update(tf.IndexedSlices(rows, ids))


def _put(x: tf.Tensor, i: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns x [microbatches, B', ...] with other rows in place of microbatch i."""
    return tf.tensor_scatter_nd_update(x, [[i]], rows[None])


def _tensors(batch: Features) -> dict[str, tf.Tensor]:
    """Returns the batch as tensors, so that no array becomes a constant of the graph."""
    return {name: tf.convert_to_tensor(x) for name, x in batch.items()}
