"""What a step promises on the backend in use; test_jax.py runs this file on JAX."""

import functools

import keras
import numpy as np
import pytest

from lm.engines import get, memory
from lm.errors import UserError
from lm.optim import Optimizer, adamw
from tests.toy import Toy, batch

OPTIMIZERS = {
    "adamw": lambda: adamw(learning_rate=0.01),
    "averaged": lambda: adamw(learning_rate=0.01, average=0.9),
    "sgd": lambda: Optimizer(rule=keras.optimizers.SGD(1.0, name="sgd")),
}


def build(*, optimizer, microbatches=1, dropout=0.0):
    keras.utils.set_random_seed(0)
    return get()(
        objective=Toy(dropout=dropout),
        optimizer=OPTIMIZERS[optimizer](),
        features=batch(0),
        microbatches=microbatches,
    )


@functools.cache
def compiled(**options):
    engine = build(**options)
    return engine, state(engine)


def make(**options):
    """Returns an engine at its first step; compiled once per choice of options."""
    engine, start = compiled(**options)
    assign(engine, start)
    return engine


def state(engine):
    engine.pull()
    return {v.path: np.asarray(v.value).copy() for v in engine.program.variables}


def assign(engine, values):
    engine.pull()
    for variable in engine.program.variables:
        variable.assign(values[variable.path])


def run(engine, seeds):
    for seed in seeds:
        engine.step(batch(seed))
    return state(engine)


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for path, value in left.items():
        np.testing.assert_array_equal(value, right[path], err_msg=path)


def test_a_step_is_the_gradient_of_the_weighted_mean():
    engine = make(optimizer="sgd")
    before = state(engine)
    engine.step(batch(1))
    bias = state(engine)["toy/logits/bias"] - before["toy/logits/bias"]
    features = batch(1)
    x = before["toy/embedding/embeddings"][features["decoder_input_tokens"]]
    logits = x @ before["toy/logits/kernel"] + before["toy/logits/bias"]
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    p -= np.eye(11)[features["decoder_target_tokens"]]
    weights = features["decoder_loss_weights"]
    expected = -np.einsum("bt,btv->v", weights, p) / weights.sum()
    np.testing.assert_allclose(bias, expected, atol=1e-6)


def test_training_learns():
    engine = make(optimizer="adamw")
    first = {name: t / w for name, (t, w) in next(engine.evaluations([batch(99)])).items()}
    run(engine, range(200))
    last = {name: t / w for name, (t, w) in next(engine.evaluations([batch(99)])).items()}
    assert float(last["loss"]) < 0.3 * float(first["loss"])


def test_accumulation_equals_the_big_batch():
    whole = run(make(optimizer="adamw"), range(3))
    parts = run(make(optimizer="adamw", microbatches=4), range(3))
    for path, value in whole.items():
        np.testing.assert_allclose(parts[path], value, atol=2e-6, err_msg=path)


def test_microbatches_draw_different_dropout():
    engine = make(optimizer="averaged", dropout=0.3, microbatches=2)
    seed = "toy/dropout/seed/seed_generator_state"
    before = state(engine)[seed]
    engine.step(batch(0))
    assert state(engine)[seed][1] == before[1] + 2


def test_logs_are_means_over_the_window_and_then_start_again():
    engine = make(optimizer="adamw")
    totals = []
    for seed in (1, 2):
        totals.append([float(x) for x in next(engine.evaluations([batch(seed)]))["loss"]])
        engine.step(batch(seed))
    logs = engine.logs()
    total, weight = np.sum(totals, axis=0)
    assert logs["loss"] == pytest.approx(total / weight, rel=1e-5)
    assert logs["learning_rate"] == pytest.approx(0.01)
    assert {"accuracy", "grad_norm", "skipped"} <= logs.keys()
    assert np.isnan(engine.logs()["loss"])


def test_two_runs_are_equal_bit_for_bit():
    first = run(make(optimizer="averaged", dropout=0.3), range(5))
    assert_equal(first, run(make(optimizer="averaged", dropout=0.3), range(5)))


def test_a_run_continues_from_its_state_bit_for_bit():
    engine = make(optimizer="averaged", dropout=0.3)
    whole = run(engine, range(5))
    saved = run(make(optimizer="averaged", dropout=0.3), range(3))
    engine.step(batch(77))
    assign(engine, saved)
    assert_equal(whole, run(engine, range(3, 5)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_batch_changes_nothing_and_is_counted(bad):
    engine = make(optimizer="averaged", dropout=0.3)
    before = run(engine, range(2))
    poisoned = batch(2)
    poisoned["decoder_loss_weights"][0, 0] = bad
    engine.step(poisoned)
    engine.step(poisoned)
    after = state(engine)
    counters = {"meter/skipped", "meter/skipped_in_row"}
    assert {int(after.pop(name)) for name in counters} == {2}
    assert_equal({k: v for k, v in before.items() if k not in counters}, after)
    engine.step(batch(3))
    logs = engine.logs()
    assert np.isfinite(logs["loss"])
    assert (logs["skipped"], logs["skipped_in_row"]) == (2, 0)


def test_a_step_tells_whether_it_was_accepted_and_which_gradients_are_finite():
    engine = make(optimizer="averaged", dropout=0.3)
    good = engine.step(batch(1))
    assert bool(good.accepted)
    assert np.asarray(good.finite).all()
    poisoned = batch(2)
    poisoned["decoder_loss_weights"][0, 0] = np.inf
    bad = engine.step(poisoned)
    assert not bool(bad.accepted)
    assert not np.asarray(bad.finite).any()
    assert not np.isfinite(np.asarray(bad.terms["loss"])).all()


def test_what_cannot_fit_is_refused_before_anything_is_allocated(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1000)
    toy = Toy()
    with pytest.raises(UserError, match=r"too little memory: .* `lm doctor"):
        get()(objective=toy, optimizer=OPTIMIZERS["adamw"](), features=batch(0))
    assert [v._value for v in toy.trainable_variables] == [None] * 3


def test_an_empty_batch_is_no_nan():
    engine = make(optimizer="adamw")
    empty = batch(0)
    empty["decoder_loss_weights"][:] = 0.0
    engine.step(empty)
    assert engine.logs()["skipped"] == 0


def test_evaluation_leaves_the_state_alone_and_uses_the_average():
    engine = make(optimizer="averaged", dropout=0.3)
    before = run(engine, range(3))
    averaged = {name: float(x[0]) for name, x in next(engine.evaluations([batch(9)])).items()}
    assert_equal(before, state(engine))
    plain = make(optimizer="adamw")
    pairs = zip(engine.program.weights, engine.program.optimizer.averages, strict=True)
    assign(plain, state(plain) | {w.path: np.asarray(a.value) for w, a in pairs})
    expected = {name: float(x[0]) for name, x in next(plain.evaluations([batch(9)])).items()}
    assert averaged == pytest.approx(expected, rel=1e-6)


def test_mixed_precision_keeps_weights_and_slots_in_float32():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        engine = build(optimizer="averaged", dropout=0.3, microbatches=2)
    finally:
        keras.config.set_dtype_policy(before)
    values = run(engine, range(2))
    assert {x.dtype for x in values.values() if x.dtype.kind == "f"} == {np.dtype("float32")}
    logs = engine.logs()
    assert np.isfinite(logs["loss"])
    assert logs["skipped"] == 0


def test_two_engines_in_one_process_have_the_same_paths():
    def paths():
        return [v.path for v in build(optimizer="averaged", dropout=0.3).program.variables]

    assert paths() == paths()


def test_a_batch_that_cannot_be_cut_is_refused():
    with pytest.raises(UserError, match="4 rows cannot be split into 3"):
        build(optimizer="sgd", microbatches=3)
