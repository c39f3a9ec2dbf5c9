"""The training state, and the parts of a step that all engines share."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import keras
from keras import ops

from lm.abstract import give_values, on_shapes, specs
from lm.engines import memory
from lm.engines.state_variables import Carry, Meter, Tables
from lm.errors import UserError
from lm.nn.branch import State
from lm.nn.reports import collect
from lm.nn.sparse_table import learned
from lm.objectives.objective import Ratio, outputs_and_carry
from lm.optim.optimizer import Optimizer, global_norm, squares
from lm.optim.sparse import Touched
from lm.types import Features, Tensor, Tree

Ratios: TypeAlias = dict[str, tuple[Tensor, Tensor]]
"""Term -> (total, weight): the mean is their quotient, sums add over batches."""


class Outcome(NamedTuple):
    """The outcome of a step: small arrays on the device; reading one waits for the step.

    Attributes:
        accepted: bool scalar, whether the update was made.
        terms: name -> float32 [2], the total and the weight of every term.
        finite: bool, one per weight and sparse table: whether its gradient and the square of it
            are finite.
    """

    accepted: Tensor
    terms: Mapping[str, Tensor]
    finite: Tensor


class Program:
    """An objective, an optimizer and a meter as lists of variables and functions over them.

    Args:
        objective: a model with `terms(features, outputs)`; built here if it is not yet.
        optimizer: built here.
        features: a batch, or for each feature anything with its shape and dtype.
        microbatches: parts into which a batch is split; the gradient is that of the whole batch.

    Raises:
        UserError: the batch cannot be split into equal parts, memory is too small, or two variables
            have the same path.
    """

    def __init__(
        self, *, objective: Any, optimizer: Optimizer, features: Features, microbatches: int = 1
    ) -> None:
        self.objective = objective
        self.optimizer = optimizer
        self.microbatches = microbatches
        self.rows = next(iter(features.values())).shape[0]
        if self.rows % microbatches:
            raise UserError(
                f"a batch of {self.rows} rows cannot be split into {microbatches} equal parts; "
                "change train.train.microbatches or BATCH_SIZE"
            )
        # Build on shapes first, so that a model that does not fit is an error before allocation.
        with on_shapes("OBJECTIVE"):
            self.terms = _build(objective, features)
            optimizer.freeze(objective.trainable_variables)
            self.carry = Carry(objective, features)
            memory.require(memory.at_least(objective, optimizer, features, self.carry.variables))
        give_values([*objective.variables, *self.carry.variables])
        self.weights = objective.trainable_variables
        self.learned = learned(objective)
        self.tables = Tables(objective, optimizer)
        in_tables = {id(variable) for variable in self.tables.variables}
        self.others = [v for v in objective.non_trainable_variables if id(v) not in in_tables]
        _check_tables(self.tables, optimizer)
        optimizer.build(self.weights)
        self.meter = Meter([*self.terms, *optimizer.accumulation.metrics])
        _check_unique(self.variables)

    @property
    def guarded(self) -> list[Any]:
        """The variables that a skipped update must leave unchanged.

        Sparse tables are too large to be copied and are guarded row by row instead.
        """
        groups = (self.weights, self.others, self.carry.variables, self.optimizer.variables)
        return [variable for group in groups for variable in group]

    @property
    def variables(self) -> list[Any]:
        """The whole training state."""
        return [*self.guarded, *self.meter.variables, *self.tables.variables]

    @property
    def paths(self) -> list[str]:
        """The paths of weights and sparse tables, in the order of `Outcome.finite`."""
        return [variable.path for variable in self.learned]

    def forward(
        self, features: Features, carry: State, *, training: bool
    ) -> tuple[dict[str, Tensor], State]:
        """Returns name -> float32 [2], total and weight of every term, and the carry after.

        The terms are those of the objective and what layers report. Losses reported by layers are
        added to "loss", each as a mean over its own weight.
        """
        _, sums, after = self._run(features, carry, training=training)
        return sums, after

    def _run(
        self, features: Features, carry: State, *, training: bool
    ) -> tuple[Any, dict[str, Tensor], State]:
        """Returns the objective's outputs, and what `forward` returns."""
        with collect() as reported:
            outputs, after = outputs_and_carry(self.objective, features, carry, training=training)
            terms = dict(self.objective.terms(features, outputs))
        total, weight = terms["loss"]
        terms["loss"] = Ratio(total + reported.loss() * weight, weight)
        terms |= {name: Ratio(*sums) for name, sums in reported.metrics().items()}
        sums = {
            name: ops.stack([ops.cast(x, "float32") for x in ratio])
            for name, ratio in terms.items()
        }
        return outputs, sums, after

    def predict(self, features: Features) -> tuple[dict[str, Tensor], Tree]:
        """Returns the terms of a batch as `forward` does, and what the objective predicts."""
        outputs, sums, _ = self._run(features, (), training=False)
        return sums, self.objective.predictions(features, outputs)

    def split(self, tree: Tree) -> Tree:
        """Splits features and carry into microbatches, [B, ...] -> [microbatches, B', ...]."""
        return keras.tree.map_structure(
            lambda x: ops.reshape(x, (self.microbatches, -1, *x.shape[1:])), tree
        )

    def join(self, tree: Tree) -> Tree:
        """Undoes `split`, [microbatches, B', ...] -> [B, ...]."""
        return keras.tree.map_structure(lambda x: ops.reshape(x, (-1, *x.shape[2:])), tree)

    def update(
        self,
        *,
        gradients: Sequence[Tensor],
        terms: Mapping[str, Tensor],
        before: Sequence[Tensor],
        touched: Sequence[Touched] = (),
    ) -> tuple[Outcome, list[list[Tensor]]]:
        """Makes one update, or leaves the state unchanged if loss or gradient is not finite.

        Args:
            gradients: of the sum of losses, one per weight.
            terms: name -> [2], summed over the microbatches.
            before: values of `guarded` before the forward pass.
            touched: rows of the sparse tables, with gradients of the sum of losses.

        Returns:
            The outcome, and the touched rows after the update.
        """
        accumulation = self.optimizer.accumulation
        total = accumulation.add(gradients, terms["loss"][1], self.rows)
        # An empty batch has no gradient: 0, not 0/0.
        scale = ops.divide_no_nan(1.0, total.weight)
        gradients = [g * ops.cast(scale, g.dtype) for g in total.gradients]
        touched = [x._replace(gradient=x.gradient * scale).summed() for x in touched]
        every = [*gradients, *(x.distinct() for x in touched)]
        sums = squares(every)
        norm = global_norm(sums)
        accepted = ops.logical_and(ops.isfinite(terms["loss"][0]), ops.isfinite(norm))
        rate = self.optimizer.learning_rate
        with conditional_update(
            self.optimizer.rule,
            variables=self.guarded,
            before=before,
            accepted=self._each(accepted, total.is_due),
        ):
            self.optimizer.apply(gradients, norm)
            accumulation.keep(total)
        found = {**terms, **accumulation.terms(total, norm, self.rows)}
        self.meter.add(found, norm=norm, learning_rate=rate, accepted=accepted)
        finite = ops.isfinite(ops.stack(sums))
        after = [
            [
                ops.where(accepted, new, old)
                for new, old in zip(self.optimizer.rows_after(x, norm, rate), x.values, strict=True)
            ]
            for x in touched
        ]
        return Outcome(accepted, dict(terms), finite), after

    def _each(self, accepted: Tensor, is_due: Tensor) -> list[Tensor]:
        """Returns for each variable of `guarded` whether its new value is accepted.

        Batches between two updates advance seeds, carry and sums, but not weights and moments.
        """
        summed = self.optimizer.accumulation.variables
        going_on = {id(v) for v in (*self.others, *self.carry.variables, *summed)}
        updated = ops.logical_and(accepted, is_due)
        return [accepted if id(v) in going_on else updated for v in self.guarded]

    def averaged(self) -> list[tuple[Any, Any]]:
        """Returns (weight, average) pairs; evaluation uses the averages."""
        averages = self.optimizer.averages
        return [(w, a.value) for w, a in zip(self.weights, averages, strict=False)]


def _build(objective: Any, features: Features) -> list[str]:
    """Builds the objective by calling it on shapes; returns the names of all terms."""
    shapes = specs(features)
    with collect() as reported:
        # In training mode, so that errors of that mode are raised here too.
        terms = objective.terms(shapes, objective(shapes, training=True))
    if twice := set(terms) & set(reported.names):
        raise UserError(f"a layer reports a term of the objective: {', '.join(twice)}")
    return [*terms, *reported.names]


def _check_tables(tables: Tables, optimizer: Optimizer) -> None:
    """Refuses sparse tables with an optimizer that updates only after several batches."""
    if tables.layers and optimizer.accumulation.copies:
        raise UserError(
            "batch_schedule.scheduled: a sparse table is updated after every batch; bind the "
            "optimizer itself"
        )


def _check_unique(variables: Sequence[Any]) -> None:
    """Refuses two variables with the same path: checkpoints store them by path."""
    twice = [path for path, n in Counter(v.path for v in variables).items() if n > 1]
    if twice:
        raise UserError(f"variables share a path, give their layers names: {', '.join(twice)}")


@contextlib.contextmanager
def conditional_update(
    rule: keras.optimizers.Optimizer,
    *,
    variables: Sequence[Any],
    before: Sequence[Tensor],
    accepted: Sequence[Tensor],
) -> Iterator[None]:
    """A context in which the rule's assignments take effect only where accepted.

    Afterwards every variable has its new value, or its old one bit for bit. Variables assigned by
    the rule are selected at that moment, so that moments are final before the weight reads them
    and no copies of old values are held longer than needed. All others are selected at the end.

    Args:
        rule: a Keras optimizer, which assigns through its own methods `assign…`.
        variables: those that a skipped update leaves unchanged.
        before: their old values.
        accepted: bool scalars, one per variable.
    """
    pairs = list(zip(before, accepted, strict=True))
    old = {id(v): pair for v, pair in zip(variables, pairs, strict=True)}
    # On TensorFlow, Keras calls these methods with tf.Variables.
    old |= {id(v.value): pair for v, pair in zip(variables, pairs, strict=True)}
    unassigned = {id(x) for x in before}

    def assign(variable: Any, value: Tensor) -> None:
        previous, is_accepted = old[id(variable)]
        unassigned.discard(id(previous))
        variable.assign(ops.where(is_accepted, ops.cast(value, previous.dtype), previous))

    rule.assign = assign
    rule.assign_add = lambda variable, value: assign(variable, variable + value)
    rule.assign_sub = lambda variable, value: assign(variable, variable - value)
    try:
        yield
    finally:
        for name in ("assign", "assign_add", "assign_sub"):
            delattr(rule, name)
    for variable, (previous, is_accepted) in zip(variables, pairs, strict=True):
        if id(previous) in unassigned:
            variable.assign(ops.where(is_accepted, variable.value, previous))
