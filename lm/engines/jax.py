"""The step on JAX: state as donated arrays, `lax.scan` over microbatches, one compiled function.

On a mesh the compiled function takes and returns global arrays; XLA adds the communication.
"""

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import jax
import keras
import numpy as np

from lm.engines.program import Outcome, Program, Ratios
from lm.mesh.mesh import Mesh
from lm.mesh.placement import Placement, shaped
from lm.nn.branch import State
from lm.nn.sparse_table import given_rows
from lm.objectives.objective import initial_carry
from lm.optim.optimizer import Optimizer
from lm.types import Features, Tree

Arrays: TypeAlias = list[jax.Array]


class Engine:
    """Runs an objective and an optimizer, compiled.

    Between steps the engine owns the state as arrays; the Keras variables cannot be read, since
    their arrays were donated. After `pull()` the variables own the state until the next step.

    Args:
        objective: a model with `terms`.
        optimizer: its update rule.
        features: a batch, or for each feature anything with its shape and dtype.
        microbatches: parts of a batch whose gradients are summed before the update.
        mesh: the devices over which batch and state are split; None is one device. The variables
            are made inside `mesh.over(...)`.
    """

    def __init__(
        self,
        *,
        objective: Any,
        optimizer: Optimizer,
        features: Features,
        microbatches: int = 1,
        mesh: Mesh | None = None,
    ) -> None:
        self.program = Program(
            objective=objective, optimizer=optimizer, features=features, microbatches=microbatches
        )
        self._state: Arrays | None = None
        self._under_way: deque[Any] = deque(maxlen=3)
        self._placement = None if mesh is None else Placement(mesh, objective)
        if self._placement is not None:
            self.program.carry.lay(self._placement.rows)
        self._train = jax.jit(self._train_step, donate_argnums=0, **self._outputs(state=True))
        self._evaluate = jax.jit(self._evaluate_step, **self._outputs(state=False))
        self._predict = jax.jit(self._predict_step, **self._outputs(state=False))

    def step(self, batch: Features) -> Outcome:
        """Starts one update from a batch of NumPy arrays.

        Waits only for the update two steps back, which bounds the batches held on the device and
        the time until a signal is answered.
        """
        self._state, outcome = self._train(self._owned(), self._placed(batch))
        self._under_way.append(outcome.accepted)
        jax.block_until_ready(self._under_way[0])
        return outcome

    def evaluations(self, batches: Iterable[Features]) -> Iterator[Ratios]:
        """Yields the terms of every batch; the carry is passed from each to the next."""
        carry = None
        for batch in batches:
            carry = self._initial_carry(batch) if carry is None else carry
            terms, carry = self._evaluate(self._owned(), carry, self._placed(batch))
            yield {name: (x[0], x[1]) for name, x in terms.items()}

    def predictions(self, batches: Iterable[Features]) -> Iterator[tuple[Ratios, Tree]]:
        """Yields the terms of every batch and what the objective predicts for its rows."""
        for batch in batches:
            terms, found = self._predict(self._owned(), self._placed(batch))
            yield {name: (x[0], x[1]) for name, x in terms.items()}, found

    def logs(self) -> dict[str, float]:
        """Returns the means of the log window and starts a new one; waits for the device."""
        self.pull()
        logs = self.program.meter.read()
        self.program.meter.reset()
        return logs

    def pull(self) -> None:
        """Copies the state to the Keras variables."""
        if self._state is not None:
            for variable, value in zip(self.program.variables, self._state, strict=True):
                variable.assign(value)
            self._state = None

    def push(self) -> None:
        """Takes the state from the Keras variables, as the next step does anyway."""
        self._owned()

    def lowered(self, features: Features) -> jax.stages.Lowered:
        """Returns the step on a mesh, ready to be compiled, from shapes alone.

        Args:
            features: of a batch, for each anything with its shape and dtype.
        """
        assert self._placement is not None
        rows = self._placement.rows
        batch = {
            name: jax.ShapeDtypeStruct(tuple(x.shape), x.dtype, sharding=rows)
            for name, x in features.items()
        }
        return self._train.lower([shaped(v) for v in self.program.variables], batch)

    def _owned(self) -> Arrays:
        """Returns the arrays of the state, taken from the variables if they own it."""
        if self._state is None:
            self._state = [v.value for v in self.program.variables]
        return self._state

    def _placed(self, batch: Features) -> Features:
        """Returns the batch as the arrays of a step."""
        return dict(batch) if self._placement is None else self._placement.batch(batch)

    def _initial_carry(self, batch: Features) -> State:
        """Returns the carry before the first batch of an evaluation."""
        carry = initial_carry(self.program.objective, batch)
        return carry if self._placement is None else self._placement.copied(carry)

    def _layouts(self) -> contextlib.AbstractContextManager[Any]:
        """Returns a context in which Keras applies the layouts of the mesh to layer outputs."""
        if self._placement is None:
            return contextlib.nullcontext()
        return self._placement.distribution.scope()

    def _outputs(self, *, state: bool) -> dict[str, Any]:
        """Returns the layouts of outputs: the state's own, terms and outcome on every device."""
        if self._placement is None:
            return {}
        replicated = self._placement.replicated
        unchanged = [shaped(v).sharding for v in self.program.variables]
        return {"out_shardings": (unchanged, replicated) if state else replicated}

    def _train_step(self, state: Arrays, batch: Features) -> tuple[Arrays, Outcome]:
        """Returns the state after one update, and its outcome."""
        program = self.program
        weights, others, carry, rest = self._divided(state)
        with keras.StatelessScope(state_mapping=zip(program.variables, state, strict=True)):
            rows = program.tables.rows(batch, _read)
        read = [group[0] for group in rows]
        (gradients, by_rows), terms, others, carry = self._gradients(
            (weights, read), others, carry, batch
        )
        mapping = zip(program.variables, [*weights, *others, *carry, *rest], strict=True)
        with keras.StatelessScope(state_mapping=mapping) as scope:
            outcome, after = program.update(
                gradients=gradients,
                terms=terms,
                before=state[: len(program.guarded)],
                touched=program.tables.touched(batch, rows, by_rows),
            )
            program.tables.write(batch, after, _put)
        return [scope.get_current_value(v) for v in program.variables], outcome

    def _gradients(
        self, given: tuple[Arrays, Arrays], others: Arrays, carry: Arrays, batch: Features
    ) -> tuple:
        """Returns summed gradients and terms of all microbatches, the other state and the carry.

        Gradients are those of the weights, and of the rows of sparse tables.
        """
        differentiate = jax.grad(self._loss, has_aux=True)
        if self.program.microbatches == 1:
            gradients, (terms, others, carry) = differentiate(given, others, carry, batch)
            return gradients, terms, others, carry
        weights, rows = given

        def add(sums: tuple, part: tuple) -> tuple:
            gradients, terms, others = sums
            carry, rows, batch = part
            (more, by_rows), (more_terms, others, after) = differentiate(
                (weights, rows), others, carry, batch
            )
            return (_sum(gradients, more), _sum(terms, more_terms), others), (after, by_rows)

        terms = {name: np.zeros(2, "float32") for name in self.program.terms}
        zeros = ([np.zeros(w.shape, "float32") for w in weights], terms, others)
        # Each part has its rows of the carry and of sparse tables.
        parts = self.program.split((carry, rows, batch))
        if self._placement is not None:
            parts = self._placement.microbatches(parts)
        sums, parted = jax.lax.scan(add, zeros, parts)
        gradients, terms, others = sums
        after, by_rows = self.program.join(parted)
        return (gradients, by_rows), terms, others, after

    def _loss(
        self, given: tuple[Arrays, Arrays], others: Arrays, carry: Arrays, batch: Features
    ) -> tuple:
        """Returns the sum of losses, and as auxiliary output terms, other state and carry."""
        program, (weights, rows) = self.program, given
        mapping = zip([*program.weights, *program.others], [*weights, *others], strict=True)
        given_to_tables = given_rows(program.tables.by_path(rows))
        scope = keras.StatelessScope(state_mapping=mapping)
        with self._layouts(), given_to_tables, scope:
            terms, after = program.forward(batch, program.carry.packed(carry), training=True)
        others = [scope.get_current_value(v) for v in program.others]
        return terms["loss"][0], (terms, others, jax.tree.leaves(after))

    def _evaluate_step(self, state: Arrays, carry: State, batch: Features) -> tuple:
        """Returns terms and carry of one batch; other changes of the state are dropped."""
        with self._averaged(state):
            return self.program.forward(batch, carry, training=False)

    def _predict_step(self, state: Arrays, batch: Features) -> tuple:
        """Returns terms and predictions of one batch; changes of the state are dropped."""
        with self._averaged(state):
            return self.program.predict(batch)

    def _averaged(self, state: Arrays) -> keras.StatelessScope:
        """Returns a scope with the state, with averaged weights if kept."""
        values = list(zip(self.program.variables, state, strict=True))
        with keras.StatelessScope(state_mapping=values):
            averaged = self.program.averaged()
        return keras.StatelessScope(state_mapping=[*values, *averaged])

    def _divided(self, state: Arrays) -> tuple[Arrays, Arrays, Arrays, Arrays]:
        """Returns weights, other variables of the objective, the carry, and the rest."""
        first = len(self.program.weights)
        second = first + len(self.program.others)
        third = second + len(self.program.carry.variables)
        return state[:first], state[first:second], state[second:third], state[third:]


def _read(table: Any, ids: jax.Array) -> jax.Array:
    """Returns rows of a variable."""
    return table.value[ids]


def _put(table: Any, ids: jax.Array, rows: jax.Array) -> None:
    """Writes rows of a variable, in place if its array was donated."""
    table.assign(table.value.at[ids].set(rows))


def _sum(left: Tree, right: Tree) -> Tree:
    """Returns the sums of two trees, leaf by leaf."""
    return jax.tree.map(jax.numpy.add, left, right)
