"""Sparse tables: a step reads and changes the rows of its batch, as a dense update would."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from lm.engines import get
from lm.errors import UserError
from lm.nn.sparse_table import SparseTable
from lm.objectives.objective import Ratio
from lm.optim import adagrad, adamw, sgd
from tests.engine import BACKEND

ROWS, WIDTH, CLASSES = 12, 4, 5
OPTIMIZERS = {
    "clipped": functools.partial(sgd, learning_rate=0.5, clip_norm=0.1),
    "adagrad": functools.partial(adagrad, learning_rate=0.5, average=0.9),
}
TABLE, SLOT = "documents/table/embeddings", "sparse/documents_table_embeddings_accumulator"


class Documents(keras.Model):
    """`-log softmax(E[document] W)[class]`, E a table that is sparse or not."""

    def __init__(self, *, rows=ROWS, is_sparse=True):
        super().__init__(name="documents", autocast=False)
        made = SparseTable(feature="documents", num_rows=rows, dim=WIDTH, name="table")
        self.table = made if is_sparse else keras.layers.Embedding(rows, WIDTH, name="table")
        self.logits = keras.layers.Dense(CLASSES, name="logits")

    def call(self, features, training=None):
        del training
        return self.logits(self.table(features["documents"]))

    def terms(self, features, outputs):
        hit = ops.take_along_axis(ops.log_softmax(outputs), features["classes"][:, None], axis=1)
        weights = features["weights"]
        return {"loss": Ratio(-ops.sum(hit[:, 0] * weights), ops.sum(weights))}


def batch(seed, rows=ROWS):
    """Returns 8 documents, some of them twice."""
    rng = np.random.default_rng(seed)
    return {
        "documents": rng.integers(0, min(rows, 6), 8).astype("int32"),
        "classes": rng.integers(0, CLASSES, 8).astype("int32"),
        "weights": rng.uniform(0.5, 2, 8).astype("float32"),
    }


@functools.cache
def compiled(optimizer, **options):
    return build(optimizer, **options), {}


def make(optimizer, **options):
    """Returns an engine at its first step; compiled once per choice of options."""
    engine, start = compiled(optimizer, **options)
    if not start:
        start.update(state(engine))
    assign(engine, start)
    return engine


def assign(engine, values):
    engine.pull()
    for variable in engine.program.variables:
        variable.assign(values[variable.path])


def build(optimizer, *, microbatches=1, rows=ROWS, is_sparse=True):
    keras.utils.set_random_seed(0)
    engine = get()(
        objective=Documents(rows=rows, is_sparse=is_sparse),
        optimizer=OPTIMIZERS[optimizer](),
        features=batch(0),
        microbatches=microbatches,
    )
    rng = np.random.default_rng(5)
    for variable in engine.program.objective.variables:
        variable.assign(rng.standard_normal(variable.shape).astype("float32"))
    engine.program.optimizer.restart_averages()
    return engine


def state(engine):
    engine.pull()
    return {v.path: np.asarray(v.value).copy() for v in engine.program.variables}


def run(engine, seeds):
    for seed in seeds:
        engine.step(batch(seed))
    return state(engine)


@pytest.mark.parametrize(("optimizer", "microbatches"), [("clipped", 1), ("adagrad", 4)])
def test_rows_are_updated_as_in_a_dense_table(optimizer, microbatches):
    engine = make(optimizer, microbatches=microbatches)
    before, sparse = state(engine), run(engine, range(3))
    dense = run(build(optimizer, is_sparse=False), range(3))
    for path in set(sparse) & set(dense):
        np.testing.assert_allclose(sparse[path], dense[path], atol=2e-6, err_msg=path)
    assert TABLE in dense
    np.testing.assert_array_equal(sparse[TABLE][6:], before[TABLE][6:])
    assert (sparse[TABLE] != before[TABLE]).any(axis=1).sum() == 6


def test_a_run_continues_from_its_state_bit_for_bit():
    engine = make("adagrad", microbatches=4)
    saved = run(engine, range(2))
    assert SLOT in saved
    whole = run(engine, range(2, 4))
    engine.step(batch(77))
    assign(engine, saved)
    resumed = run(engine, range(2, 4))
    for path, value in whole.items():
        np.testing.assert_array_equal(value, resumed[path], err_msg=path)


def test_a_bad_batch_changes_no_row_and_is_named():
    engine = make("adagrad", microbatches=4)
    before = run(engine, range(2))
    poisoned = batch(2)
    poisoned["weights"][0] = np.inf
    outcome = engine.step(poisoned)
    after = state(engine)
    assert not bool(outcome.accepted)
    assert len(outcome.finite) == len(engine.program.paths)
    assert engine.program.paths[-1] == TABLE
    for path in (TABLE, SLOT):
        np.testing.assert_array_equal(before[path], after[path])


def test_an_optimizer_that_knows_no_rows_is_refused():
    with pytest.raises(UserError, match=r"documents/table is a sparse table, for which adamw has"):
        get()(objective=Documents(), optimizer=adamw(learning_rate=0.1), features=batch(0))


def test_a_step_makes_nothing_of_the_size_of_the_table():
    """JAX: table and slots stay where they are; TensorFlow: they never enter the program."""
    many = 100_003
    engine = build("adagrad", rows=many)
    if BACKEND == "jax":
        step = engine._train.lower(engine._owned(), batch(0)).compile()
        found = step.memory_analysis()
        size = 4 * WIDTH * many
        assert found.alias_size_in_bytes >= 2 * size
        assert found.temp_size_in_bytes < size // 100
    else:
        features = {name: keras.ops.convert_to_tensor(x) for name, x in batch(0).items()}
        rows = engine.program.tables.rows(features, lambda v, ids: keras.ops.take(v, ids, axis=0))
        text = engine._train.experimental_get_compiler_ir(features, rows)(stage="optimized_hlo")
        assert str(many) not in text
