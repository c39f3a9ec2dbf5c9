"""The carry in a step: handed on, cut into microbatches, taken back, and evaluation's own."""

import functools

import keras
import numpy as np
import pytest

from lm.engines import get
from lm.optim import adamw
from lm.train.evaluation import total
from tests.carried import batch, objective


@functools.cache
def compiled(microbatches):
    keras.utils.set_random_seed(0)
    engine = get()(
        objective=objective(),
        optimizer=adamw(learning_rate=0.01),
        features=batch(0),
        microbatches=microbatches,
    )
    return engine, state(engine)


def make(microbatches=1):
    engine, start = compiled(microbatches)
    engine.pull()
    for variable in engine.program.variables:
        variable.assign(start[variable.path])
    return engine


def state(engine):
    engine.pull()
    return {v.path: np.asarray(v.value).copy() for v in engine.program.variables}


def carry(engine):
    return {path: x for path, x in state(engine).items() if path.startswith("carry/")}


def run(engine, numbers):
    for number in numbers:
        engine.step(batch(number))
    return state(engine)


def test_it_is_part_of_the_state_by_name():
    assert {path: x.shape for path, x in carry(make()).items()} == {
        "carry/decoder/positions": (4,),
        "carry/decoder/residuals/0/inputs": (4, 8, 8),
        "carry/decoder/residuals/1/projections/0": (4, 2, 2, 4),
        "carry/decoder/residuals/1/projections/1": (4, 2, 2, 4),
        "carry/decoder/residuals/1/projections/2": (4, 2, 2, 4),
    }


def test_a_step_hands_on_what_the_model_made_of_its_rows():
    """Without dropout, which evaluation has not: the positions, and that the rest follows them."""
    engine = make()
    positions = np.zeros(4, "int32")
    for number in range(3):
        engine.step(batch(number))
        rows = batch(number)
        last = rows["decoder_segment_ids"] == rows["decoder_segment_ids"].max(1, keepdims=True)
        on = last.all(1) & (rows["decoder_continues"] > 0)
        positions = last.sum(1) + np.where(on, positions, 0)
        found = carry(engine)
        np.testing.assert_array_equal(found["carry/decoder/positions"], positions)
        written = np.abs(found["carry/decoder/residuals/0/inputs"]).sum(-1) > 0
        np.testing.assert_array_equal(written.sum(1), np.minimum(positions, 8))


def test_every_microbatch_has_its_own_rows():
    """Dropout draws anew for each part, so the parts are compared where it plays no role."""
    whole, parts = (run(make(n), range(4)) for n in (1, 2))
    path = "carry/decoder/positions"
    np.testing.assert_array_equal(parts[path], whole[path])
    inputs = "carry/decoder/residuals/0/inputs"
    np.testing.assert_array_equal(parts[inputs].any(-1), whole[inputs].any(-1))


@pytest.mark.parametrize("microbatches", [1, 2])
def test_a_refused_update_takes_it_back(microbatches):
    engine = make(microbatches)
    run(engine, range(2))
    before = carry(engine)
    poisoned = batch(2)
    poisoned["decoder_loss_weights"][0, 0] = np.nan
    assert not bool(engine.step(poisoned).accepted)
    assert_equal(carry(engine), before)


@pytest.mark.parametrize("microbatches", [1, 2])
def test_a_run_goes_on_from_its_state_bit_for_bit(microbatches):
    engine = make(microbatches)
    saved = run(engine, range(3))
    whole = run(engine, range(3, 5))
    run(engine, [77])
    for variable in engine.program.variables:
        variable.assign(saved[variable.path])
    assert_equal(run(engine, range(3, 5)), whole)


def test_evaluation_begins_empty_hands_on_and_leaves_the_state_alone():
    engine = make()
    before = run(engine, range(2))
    batches = [batch(5), batch(6)]
    first, second = (e["loss"][0] for e in engine.evaluations(batches))
    again = [float(next(engine.evaluations([b]))["loss"][0]) for b in batches]
    assert float(first) == again[0]
    assert float(second) != again[1]  # it went on with the first
    assert total(engine, batches)["loss"][0] == pytest.approx(float(first) + float(second))
    assert_equal(state(engine), before)


def test_evaluation_equals_the_one_long_row():
    engine = make()
    run(engine, range(3))
    rows = [batch(n) for n in (7, 8)]
    for n, features in enumerate(rows):
        features["decoder_segment_ids"][:] = 1
        features["decoder_positions"][:] = np.arange(6)
        features["decoder_continues"][:] = n
    engine.pull()
    model = engine.program.objective.model
    carry, outputs = model.initial_carry(4), []
    for features in rows:
        found, carry = model(features, carry=carry)
        outputs.append(np.asarray(found))
    losses = [float(e["loss"][0]) for e in engine.evaluations(rows)]
    expected = [nll(y, x["decoder_target_tokens"]) for y, x in zip(outputs, rows, strict=True)]
    assert losses == pytest.approx(expected, rel=1e-5)


def nll(logits, targets):
    logits = logits.astype("float64")
    log_z = np.log(np.exp(logits).sum(-1))
    return float((log_z - np.take_along_axis(logits, targets[..., None], -1)[..., 0]).sum())


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for path, value in left.items():
        np.testing.assert_array_equal(value, right[path], err_msg=path)
