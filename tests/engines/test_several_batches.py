"""Updates of several batches each: equal to one large batch, and what they say of the noise."""

import functools

import numpy as np
import pytest

from lm.engines import get
from lm.optim.batch_schedule import Growing, scheduled
from lm.optim.sgd import sgd
from tests.engines.test_engine import assign, state
from tests.toy import Toy, batch

ROWS = 4


def plain():
    return sgd(learning_rate=1.0)


def paired():
    return scheduled(optimizer=plain, batches=Growing(first=2))


@functools.cache
def compiled(optimizer, rows):
    engine = get()(objective=Toy(), optimizer=optimizer(), features=batch(0, rows))
    return engine, state(engine)


def run(optimizer, *batches):
    """Returns the state before the batches and after each."""
    engine, start = compiled(optimizer, batches[0]["decoder_input_tokens"].shape[0])
    common = compiled(plain, ROWS)[1]  # all begin with the same weights
    assign(engine, start | {path: x for path, x in common.items() if path in start})
    found = [state(engine)]
    for one in batches:
        engine.step(one)
        found.append(state(engine))
    return found


def weights(values):
    return {path: x.astype("float64") for path, x in values.items() if path.startswith("toy/")}


def test_two_batches_are_one_of_twice_the_rows():
    parts = [batch(1, ROWS), batch(2, ROWS)]
    before, between, after = run(paired, *parts)
    for path, value in weights(before).items():
        np.testing.assert_array_equal(between[path], value)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    whole = run(plain, joined)[-1]
    for path, value in weights(whole).items():
        np.testing.assert_allclose(after[path], value, atol=2e-6, err_msg=path)
    assert after["sgd/iteration"] == whole["sgd/iteration"] == 1


def test_a_batch_that_is_not_finite_leaves_the_sums_as_they_were():
    bad = batch(3, ROWS)
    bad["decoder_loss_weights"] = bad["decoder_loss_weights"] * np.float32("nan")
    _, between, skipped, after = run(paired, batch(1, ROWS), bad, batch(2, ROWS))
    assert {p for p in between if not np.array_equal(between[p], skipped[p])} == {
        "meter/skipped",
        "meter/skipped_in_row",
    }
    wanted = run(paired, batch(1, ROWS), batch(2, ROWS))[-1]
    for path, value in weights(wanted).items():
        np.testing.assert_array_equal(after[path], value)


def test_the_noise_scale_is_that_of_the_gradients_of_the_batches():
    def gradient(one):
        before, after = map(weights, run(plain, one))
        return np.concatenate([(before[p] - x).ravel() for p, x in after.items()])

    parts = [batch(1, ROWS), batch(2, ROWS)]
    totals = [part["decoder_loss_weights"].sum() for part in parts]
    found = [gradient(part) for part in parts]
    mean = sum(g * w for g, w in zip(found, totals, strict=True)) / sum(totals)
    small, large = np.mean([g @ g for g in found]), mean @ mean
    wanted = [ROWS * 2 * (small - large), 2 * large - small]
    after = run(paired, *parts)[-1]
    np.testing.assert_allclose(after["meter/gradient_noise_scale"], wanted, rtol=1e-4)


@pytest.mark.parametrize(("examples", "batches"), [(0, 2), (99, 2), (100, 6), (1000, 18)])
def test_the_batch_grows_at_milestones_in_examples(examples, batches):
    growing = Growing(first=2, factor=3, milestones=[100, 200])
    assert int(growing(np.int32(examples))) == batches
