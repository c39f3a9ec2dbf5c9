"""Rows as updates of their own: the reference's updates at one row a batch, and the gradient."""

import functools
import itertools

import keras
import numpy as np
import pytest

from lm.engines import get, rowwise
from lm.engines.row_updates import Rates, update_rows
from lm.errors import ConfigError
from lm.optim import schedules, sgd
from tests import paragraphs
from tests.objectives.test_node_prediction import loss, tables

EPOCH = 55
RATE = functools.partial(schedules.Linear, peak=0.05, steps=EPOCH)
DEFAULT = {"dbow_words", "dm_concat"}
KINDS = [
    pytest.param(kind, marks=() if kind in DEFAULT else pytest.mark.slow)
    for kind in paragraphs.KINDS
]


def engine(factory, kind, batch):
    keras.utils.set_random_seed(0)
    made = factory(
        objective=paragraphs.objective(kind),
        optimizer=sgd(learning_rate=RATE()),
        features=batch,
    )
    rng = np.random.default_rng(5)
    for variable in made.program.objective.variables:
        variable.assign(rng.normal(0, 0.3, variable.shape).astype("float32"))
    return made


def state(engine):
    engine.pull()
    return {v.path: np.asarray(v.value).copy() for v in engine.program.variables}


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_equals_that_of_the_reference(kind):
    coder, predicted = (paragraphs.TREE, 2) if kind == "dm_concat" else (paragraphs.SAMPLING, 1)
    made = paragraphs.batches(kind, coder, predicted=predicted)
    rows = list(itertools.islice(made, EPOCH))
    found = []
    for factory in (get(), rowwise.Engine):
        made = engine(factory, kind, rows[0])
        start = state(made)
        for batch in rows:
            made.step(batch)
        found.append(state(made))
    reference, ours = found
    moved = 0
    for path, value in ours.items():
        if "grad_norm" not in path:
            rtol = 1e-6 if path.startswith("meter") else 1e-7  # sums of all losses, tables
            np.testing.assert_allclose(value, reference[path], rtol, atol=1e-6, err_msg=path)
        moved += int(np.any(value != start[path]))
    assert moved > 2
    assert ours["sgd/iteration"] == EPOCH


@pytest.mark.parametrize("kind", paragraphs.KINDS)
def test_an_update_is_the_gradient_of_the_loss(kind):
    """Finite differences of one row, in every number of every table; a mean's is that of a sum."""
    objective, batch = paragraphs.filled(kind), paragraphs.batch(kind, count=1)
    before, ours = tables(objective), rowwise.tables_of(objective)
    plan = rowwise.plan_of(objective.model, rowwise.columns(batch).context.shape[1])
    update_rows(ours, plan, Rates(1.0, 1.0, 1.0), rowwise.columns(batch))
    for name, table in before.items():
        slope = np.zeros_like(table)
        for index in np.ndindex(*table.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = table.copy()
                moved[index] += step
                ends.append(loss(kind, {**before, name: moved}, batch))
            slope[index] = (ends[0] - ends[1]) / 2e-5
        summed = kind in ("dm_mean", "cbow") and name != "nodes"
        times = batch["context_weights"].sum() + (kind == "dm_mean") if summed else 1
        change = (getattr(ours, name) - table) / times
        np.testing.assert_allclose(change, -slope, atol=2e-5, err_msg=name)


def test_a_rate_of_0_writes_nothing():
    objective, batch = paragraphs.filled("dm_mean"), paragraphs.batch("dm_mean")
    ours, plan = rowwise.tables_of(objective), rowwise.plan_of(objective.model, 4)
    before = [x.tobytes() for x in ours]
    update_rows(ours, plan, Rates(0.5, 0.0, 0.0), rowwise.columns(batch))
    assert [x.tobytes() == y for x, y in zip(ours, before, strict=True)] == [False, True, True]


def test_another_update_is_refused():
    with pytest.raises(ConfigError, match="plain gradient descent"):
        rowwise.Engine(
            objective=paragraphs.objective("dbow"),
            optimizer=sgd(learning_rate=0.1, momentum=0.9),
            features=paragraphs.batch("dbow"),
        )


def test_two_threads_learn_as_one_and_say_that_they_are_not_exact(caplog):
    rows = list(itertools.islice(paragraphs.batches("dbow_words", paragraphs.SAMPLING, 512), 30))
    losses = []
    for threads in (1, 2):
        made = engine(functools.partial(rowwise.Engine, threads=threads), "dbow_words", rows[0])
        losses.append([float(made.step(batch).terms["loss"][0]) for batch in rows])
        assert ("no longer the same run" in caplog.text) == (threads > 1)
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
