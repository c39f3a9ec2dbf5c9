"""Layers report figures and losses through microbatches, evaluation and recomputation."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from lm.engines import get
from lm.errors import UserError
from lm.nn.branch import Branch, Context
from lm.nn.reports import collect, report
from lm.nn.residual import Remat
from lm.objectives.objective import Ratio
from lm.optim import Optimizer
from tests.catalogue import part

FACTOR = 0.5


class Talker(Branch):
    """x · gain; reports the mean of its output as a loss, and the rows it saw."""

    def build(self, x_shape):
        self.gain = self.add_weight(shape=(x_shape[-1],), initializer="ones", name="gain")

    def call(self, x, context, state=None):
        del context, state
        y = ops.cast(x, self.compute_dtype) * ops.cast(self.gain, self.compute_dtype)
        report("mean_output", ops.sum(y), ops.size(y), loss=FACTOR)
        report("rows", x.shape[0], 1)
        return y, ()


class Speech(keras.Model):
    """Two talkers; the loss is the weighted sum of their output."""

    def __init__(self, *, branch, term="rows_seen"):
        super().__init__(name="speech", autocast=False)
        self.first, self.second = branch(name="first"), branch(name="second")
        self.term = term

    def call(self, features):
        x = self.first(features["x"], Context())[0]
        return self.second(x, Context())[0]

    def terms(self, features, outputs):
        weights = features["weights"]
        losses = ops.sum(ops.mean(ops.cast(outputs, "float32"), axis=-1) * weights)
        return {"loss": Ratio(losses, ops.sum(weights)), self.term: Ratio(1.0, 1.0)}


BRANCHES = {"plain": part(Talker), "remat": part(Remat, branch=Talker)}
every = pytest.mark.parametrize("name", BRANCHES)


def batch(seed):
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((4, 3)).astype("float32")
    return {"x": x, "weights": np.array([1, 2, 0, 4], "float32")}


@functools.cache
def engine(name, microbatches=1, dtype="float32"):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    made = get()(
        objective=Speech(branch=BRANCHES[name]),
        optimizer=Optimizer(rule=keras.optimizers.SGD(1.0, name="sgd")),
        features=batch(0),
        microbatches=microbatches,
    )
    keras.config.set_dtype_policy(before)
    return made


def started(*arguments):
    made = engine(*arguments)
    made.logs()
    for weight in made.program.weights:
        weight.assign(np.ones(3, "float32"))
    return made


def expected(features, parts):
    """The loss per unit of weight, and its gradient by the first gain where both gains are 1."""
    x, weights = features["x"], features["weights"]
    loss, gradient = 0.0, np.zeros(3)
    for y, w in zip(np.split(x, parts), np.split(weights, parts), strict=True):
        loss += (y.mean(-1) * w).sum() + 2 * FACTOR * y.mean() * w.sum()
        gradient += (y / 3 * w[:, None]).sum(0) + 2 * FACTOR * y.sum(0) / y.size * w.sum()
    return loss / weights.sum(), gradient / weights.sum()


@every
@pytest.mark.parametrize("parts", [1, 2])
def test_a_reported_loss_is_minimised_and_the_sums_are_exact(name, parts):
    made, features = started(name, parts), batch(1)
    made.step(features)
    loss, gradient = expected(features, parts)
    logs = made.logs()
    assert logs["loss"] == pytest.approx(loss, rel=1e-5)
    assert logs["mean_output"] == pytest.approx(features["x"].mean(), rel=1e-5)
    assert logs["rows"] == 4 / parts
    first = np.asarray(made.program.weights[0].value)
    np.testing.assert_allclose(1 - first, gradient, atol=1e-6)


@every
def test_evaluation_reports_too(name):
    made, features = started(name), batch(2)
    terms = {n: [float(x) for x in pair] for n, pair in next(made.evaluations([features])).items()}
    assert terms["rows"] == [8.0, 2.0]
    assert terms["mean_output"] == pytest.approx([2 * features["x"].sum(), 24.0], rel=1e-5)
    loss, weight = terms["loss"]
    assert loss / weight == pytest.approx(expected(features, 1)[0], rel=1e-5)


@every
def test_names_are_known_after_the_build(name):
    assert engine(name).program.terms == ["loss", "rows_seen", "mean_output", "rows"]


def test_half_precision_is_summed_in_single():
    made = started("remat", 1, "mixed_bfloat16")
    made.step(batch(3))
    assert made.logs()["rows"] == 4
    assert {v.dtype for v in made.program.meter.sums.values()} == {"float32"}


def test_nothing_is_reported_when_nobody_collects():
    report("rows", 1, 1)
    with collect() as outer:
        with collect() as inner:
            report("rows", 1, 1)
        assert inner.names == ["rows"]
    report("rows", 1, 1)
    assert outer.names == []
    assert outer.metrics() == {}
    assert float(outer.loss()) == 0


def test_no_weight_is_no_loss():
    with collect() as reported:
        report("mean_output", 0.0, 0.0, loss=FACTOR)
    assert float(reported.loss()) == 0


def test_a_name_of_the_objective_is_taken():
    with pytest.raises(UserError, match="term of the objective: rows"):
        get()(
            objective=Speech(branch=Talker, term="rows"),
            optimizer=Optimizer(rule=keras.optimizers.SGD(1.0, name="sgd")),
            features=batch(0),
        )
