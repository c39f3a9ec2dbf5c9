"""Routers against their equations in NumPy, their losses, and who sees whom in training."""

import itertools
import math

import numpy as np
import pytest
from keras import ops

from lm.errors import LayerError
from lm.nn.expert_slots import queue
from lm.nn.noisy import HierarchicalRouter, NoisyLogits, NoisyTopKRouter, squared_variation, stays
from lm.nn.reports import collect
from lm.nn.routers import ExpertChoiceRouter, SwitchRouter, TopTwoRouter
from lm.nn.routing import Competition
from tests.built import WIDTH, noise
from tests.engine import assert_near, filled, numpy
from tests.nn import reference

E, S = 4, 12
X = noise(1, 2, S)
REAL = np.array([[1] * 12, [0, 0] + [1] * 7 + [0] * 3], "bool")
SETTINGS = {
    SwitchRouter: {"num_experts": E, "z_loss": 1e-3},
    TopTwoRouter: {"num_experts": E, "z_loss": 1e-3},
    ExpertChoiceRouter: {"num_experts": E, "z_loss": 1e-3},
    NoisyTopKRouter: {"num_experts": E, "k": 2},
    HierarchicalRouter: {"num_groups": 3, "experts_per_group": 2, "k": 1},
}
every = pytest.mark.parametrize("kind", SETTINGS)


def made(kind, **changes):
    router = kind(**SETTINGS[kind] | changes, name="router")
    filled(router, X, competition(S))
    return router


def competition(capacity, segments=REAL):
    """Every group has so many slots an expert, however many tokens it has."""
    slots = np.full(S + 1, capacity, "int32")
    return Competition(ops.convert_to_tensor(np.array(segments, "int32")), slots)


def routed(router, capacity, x=X, training=None):
    """Returns slots as training assigns them, gates, what is requested, and the reports."""
    with collect() as reported:
        choices = router(x, competition(capacity), training=training)
    slot = queue(choices, competition(capacity), router.num_experts, capacity).slot
    means = {name: [float(y) for y in pair] for name, pair in reported.metrics().items()}
    return numpy(slot), numpy(choices.gate), numpy(choices.requested), means


def probabilities(router, name="scores/kernel"):
    return reference.softmax(X.astype("float64") @ reference.weights(router)[name])


def served(choices, capacity):
    """Hands out slots: choices are lists of (token, expert), all of the first before the next."""
    taken, slots = dict.fromkeys(range(E), 0), {}
    for token, expert in choices:
        if taken[expert] < capacity:
            slots[token, expert] = expert * capacity + taken[expert]
        taken[expert] += 1
    return slots


@pytest.mark.parametrize("capacity", [2, S])
@pytest.mark.parametrize(("kind", "k"), [(SwitchRouter, 1), (TopTwoRouter, 2)])
def test_tokens_choose(kind, k, capacity):
    router = made(kind)
    slot, gate, requested, means = routed(router, capacity)
    p = probabilities(router)
    order = np.argsort(-p, axis=-1)[..., :k]
    gates = np.take_along_axis(p, order, -1)
    gates = gates / (gates.sum(-1, keepdims=True) + 1e-9) if k == 2 else gates
    assert_near(gate, gates, 1e-6)
    for g in range(2):
        tokens = [s for s in range(S) if REAL[g, s]]
        choices = [(s, order[g, s, i]) for i in range(k) for s in tokens]
        found = served(choices, capacity)
        for s in range(S):
            for i in range(k):
                kept = found.get((s, order[g, s, i]), E * capacity)
                assert (slot[g, s, i] == E * capacity) == (kept == E * capacity)
                assert capacity == S or slot[g, s, i] == kept
    np.testing.assert_array_equal(requested, np.broadcast_to(REAL[..., None], requested.shape))
    balance = 0.0
    for g in range(2):
        f = np.bincount(order[g, REAL[g], 0], minlength=E) / REAL[g].sum()
        balance += REAL[g].sum() * E * (f * p[g, REAL[g]].mean(0)).sum()
    assert_near(means["router_balance_loss"], [balance, REAL.sum()], 1e-6)
    logits = X.astype("float64") @ reference.weights(router)["scores/kernel"]
    squares = np.log(np.exp(logits[REAL]).sum(-1)) ** 2
    assert_near(means["router_z_loss"], [squares.sum(), REAL.sum()], 1e-6)


@pytest.mark.parametrize("segments", [REAL, [[1] * 5 + [2] * 7, [0, 0] + [1] * 4 + [2] * 6]])
def test_experts_choose_of_each_segment(segments):
    router, capacity = made(ExpertChoiceRouter), 3
    expert, gate, requested = router(X, competition(capacity, segments))
    p = probabilities(router)
    assert_near(gate, p, 1e-6)
    assert (numpy(expert) == np.arange(E)).all()
    segments, requested = np.array(segments), numpy(requested)
    assert not requested[segments == 0].any()
    for g, number, e in itertools.product(range(2), (1, 2), range(E)):
        own = np.flatnonzero(segments[g] == number)
        best = own[np.argsort(-p[g, own, e], kind="stable")[:capacity]]
        assert np.flatnonzero(requested[g, :, e] & (segments[g] == number)).tolist() == sorted(best)


def test_two_levels():
    router = made(HierarchicalRouter)
    slot, gate, _, means = routed(router, S)
    kernels = {v.path.split("router/")[1]: numpy(v.value) for v in router.trainable_variables}
    first, second = (X @ kernels[f"{level}/scores/kernel"] for level in ("primary", "secondary"))
    groups = first.argmax(-1)
    inner = second.reshape(2, S, 3, 2)
    expert = groups * 2 + np.take_along_axis(inner, groups[..., None, None], 2)[..., 0, :].argmax(
        -1
    )
    assert (slot[..., 0] // S)[REAL].tolist() == expert[REAL].tolist()
    # Two quotients of a number by itself: a vectorised division may miss 1 by a rounding each.
    assert_near(gate[REAL], np.ones_like(gate[REAL]), 5e-7)
    counts = np.bincount(expert[REAL], minlength=6)
    assert means["router_importance_loss"][0] == pytest.approx(
        counts.var() / counts.mean() ** 2, rel=1e-5
    )
    # Without noise the load is a count: Load_primary_i · (count of j in i) / |X_i|.
    assert means["router_load_loss"][0] == pytest.approx(means["router_importance_loss"][0])


def test_noisy_gates_are_a_softmax_over_the_k_largest():
    router = made(NoisyTopKRouter)
    slot, gate, _, means = routed(router, S)
    logits = X.astype("float64") @ reference.weights(router)["scores/kernel"]
    order = np.argsort(-logits, axis=-1)[..., :2]
    gates = reference.softmax(np.take_along_axis(logits, order, -1))
    assert_near(gate, gates, 1e-6)
    assert (slot // S)[REAL].tolist() == order[REAL].tolist()
    importance = sum(np.bincount(order[REAL][:, i], gates[REAL][:, i], E) for i in range(2))
    load = np.bincount(order[REAL].reshape(-1), minlength=E)
    for name, x in {"importance": importance, "load": load}.items():
        expected = x.var() / x.mean() ** 2
        assert means[f"router_{name}_loss"][0] == pytest.approx(expected, rel=1e-4)


def test_the_load_is_the_probability_to_stay_among_the_k_largest():
    draw, k = np.random.default_rng(0), 2
    clean = draw.standard_normal((2000, 8))
    deviation = np.log1p(np.exp(draw.standard_normal((2000, 8)))) + 1e-2
    noisy = clean + deviation * draw.standard_normal((2000, 8))
    expected = np.zeros((2000, 8))
    for e in range(8):
        threshold = np.sort(np.delete(noisy, e, axis=1), axis=1)[:, -k]
        z = (clean[:, e] - threshold) / deviation[:, e]
        expected[:, e] = [(1 + math.erf(v / math.sqrt(2))) / 2 for v in z]
    found = numpy(
        stays(NoisyLogits(*(x.astype("float32") for x in (clean, noisy, deviation))), None, k)
    )
    assert_near(found, expected, 1e-5)
    assert found.sum(-1).mean() == pytest.approx(k, abs=0.05)


def test_noise_is_drawn_in_training_alone():
    router = made(NoisyTopKRouter, num_experts=16, k=4)
    still, again, one, two = (routed(router, S, training=t)[1] for t in (None, False, True, True))
    np.testing.assert_array_equal(still, again)
    assert np.abs(one - still).max() > 1e-3
    assert np.abs(one - two).max() > 1e-3


def test_second_choices_are_dropped_by_chance_in_training_alone():
    router = made(TopTwoRouter, second_threshold=1.0)
    whole = (routed(router, S)[0] < E * S)[REAL]
    kept = (routed(router, S, training=True)[0] < E * S)[REAL]
    assert whole.all()
    assert kept[:, 0].all()
    assert 0 < kept[:, 1].sum() < len(kept)


@every
def test_slots_are_used_once(kind):
    router, capacity = made(kind), 2
    for held in routed(router, capacity, training=True)[0]:
        used = held[held < router.num_experts * capacity]
        assert len(set(used.tolist())) == len(used)
        assert (np.bincount(used // capacity, minlength=router.num_experts) <= capacity).all()


@pytest.mark.parametrize("kind", [SwitchRouter, TopTwoRouter])
def test_uniform_routing_has_a_balance_loss_of_one(kind):
    router = made(kind)
    router.gate.router_logits.kernel.assign(np.zeros((WIDTH, E)))
    total, weight = routed(router, S)[3]["router_balance_loss"]
    assert total / weight == pytest.approx(1.0)


def test_squared_variation_of_a_one_hot_load():
    assert float(squared_variation(np.array([7, 0, 0, 0, 0], "float32"))) == pytest.approx(4)


def experts_of_the_past(kind, capacity):
    """Returns where the first half of a row goes, for two different second halves."""
    router = made(kind, jitter=0.0) if kind is SwitchRouter else made(kind)
    other = X.copy()
    other[:, S // 2 :] = noise(5, 2, S - S // 2)
    first = [routed(router, capacity, x)[0][:, : S // 2] for x in (X, other)]
    return [np.where(p < router.num_experts * capacity, p // capacity, -1) for p in first]


@pytest.mark.parametrize(
    ("kind", "capacity", "leaks"),
    [
        (SwitchRouter, S, False),
        (SwitchRouter, 1, False),
        (TopTwoRouter, S, False),
        (TopTwoRouter, 2, True),
        (NoisyTopKRouter, S, False),
        (NoisyTopKRouter, 2, True),
        (HierarchicalRouter, S, False),
        (ExpertChoiceRouter, 2, True),
    ],
)
def test_which_routers_let_the_future_move_the_past(kind, capacity, leaks):
    one, other = experts_of_the_past(kind, capacity)
    assert (one != other).any() == leaks


def test_under_a_capacity_the_past_moves_the_future():
    """So packed examples compete: the first of a row may take the last slot of an expert."""
    router = made(SwitchRouter, jitter=0.0)
    other = X.copy()
    other[:, : S // 2] = noise(6, 2, S // 2)
    late = [routed(router, 1, x)[0][:, S // 2 :] for x in (X, other)]
    assert (late[0] != late[1]).any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SwitchRouter(num_experts=0), "at least 1, got 0: change NUM_EXPERTS"),
        (lambda: TopTwoRouter(num_experts=1), "at least 2, got 1"),
        (lambda: NoisyTopKRouter(num_experts=4, k=5), "NoisyTopKRouter.k must lie in 1 … 4"),
        (lambda: SwitchRouter(num_experts=4, jitter=1.0), "jitter"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(make, words):
    with pytest.raises(LayerError, match=words):
        make()
