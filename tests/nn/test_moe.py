"""Mixtures of experts against sums over experts in NumPy and one-hots, and what they refuse."""

import numpy as np
import pytest
from keras import activations, initializers, ops

from lm.errors import LayerError
from lm.nn import masks
from lm.nn.branch import Context
from lm.nn.expert_slots import from_slots, in_rounds, inverse, own_slot, queue, to_slots
from lm.nn.feedforward import GatedFeedForward
from lm.nn.moe import ExpertDense
from lm.nn.noisy import NoisyTopKRouter
from lm.nn.reports import collect
from lm.nn.routers import SwitchRouter, TopTwoRouter
from lm.nn.routing import Choices, report_load
from lm.nn.stack import Stack
from tests.built import WIDTH, noise
from tests.catalogue import EXPERT_CHOICE, FEED, SWITCH, TOP_TWO, mixture, part
from tests.engine import assert_all_near, assert_near, differentiate, filled, numpy, quick
from tests.nn import reference

E, S = 4, 12
X = noise(1, 2, S)
SEGMENTS = np.array([[1] * 12, [1] * 4 + [2] * 3 + [0] * 5], "int32")


STILL = part(SwitchRouter, num_experts=E, jitter=0.0)
BOTH = part(TopTwoRouter, num_experts=E, second_threshold=0.0)
FOUR = part(NoisyTopKRouter, num_experts=6, k=4)
routers = pytest.mark.parametrize("router", [STILL, BOTH, EXPERT_CHOICE], ids=lambda r: r.__name__)


def made(factory, **changes):
    layer = part(factory, **changes)(name="mixture")
    filled(layer, X, Context(segments=SEGMENTS))
    return layer


def expert(w, x, e):
    hidden = np.maximum(x @ w["hidden/kernel"][e] + w["hidden/bias"][e], 0)
    return hidden @ w["output/kernel"][e] + w["output/bias"][e]


def routing_of(layer, x, segments, training):
    """Returns slots, gates, and how many slots an expert has."""
    competition = layer.competition(x, ops.convert_to_tensor(segments), x.shape[1], training)
    choices = layer.router(x, competition)
    if not training:
        assigned = in_rounds(choices, layer.router.num_experts)
    else:
        slots = layer.capacity(x.shape[1])
        assigned = queue(choices, competition, layer.router.num_experts, slots)
    return assigned.slot, choices.gate, assigned.slots


@pytest.mark.parametrize("training", [True, False])
@routers
def test_the_output_is_the_sum_of_gated_experts(router, training):
    layer = made(mixture(router, 0.7))
    slot, gate, slots = routing_of(layer, X, SEGMENTS, training)
    slot, gate = numpy(slot), numpy(gate)
    w, expected = reference.weights(layer), np.zeros_like(X, "float64")
    for g, s, k in np.argwhere(slot < E * slots):
        expected[g, s] += gate[g, s, k] * expert(w, X[g, s], slot[g, s, k] // slots)
    assert_near(layer(X, Context(segments=SEGMENTS), training=training)[0], expected, 1e-6)
    assert (slot[SEGMENTS == 0] == E * slots).all()


def test_gradients_equal_those_of_one_hots():
    """The same sum as products with tokens, experts and slots as axes, which the layer avoids."""
    layer = made(mixture(BOTH, 0.7))

    def sparse():
        y, _ = layer(X, Context(segments=SEGMENTS), training=True)
        return ops.sum(ops.sin(y)), y

    def dense():
        slot, gate, slots = routing_of(layer, X, SEGMENTS, True)
        hot = ops.one_hot(slot, E * slots + 1, dtype="float32")[..., :-1]  # [G, S, K, P]
        there = ops.einsum("gskp,gsd->pgd", hot, X)
        there = ops.reshape(there, (E, -1, WIDTH))
        y, _ = layer.experts(there, Context())
        y = ops.reshape(y, (E * slots, 2, WIDTH))
        y = ops.einsum("gskp,gsk,pgd->gsd", hot, gate, y)
        return ops.sum(ops.sin(y)), y

    (y, found), (z, expected) = (
        differentiate(function, layer.trainable_variables)() for function in (sparse, dense)
    )
    assert_near(y, z, 1e-6)
    assert_all_near(found, expected, 1e-5)


def test_bringing_tokens_to_slots_and_back_are_transposes():
    slot = np.array([[[0, 5], [3, 1], [6, 6]]], "int32")  # 6 is none
    chosen = numpy(inverse(slot, 6))
    assert chosen.tolist() == [[0, 3, 6, 2, 6, 1]]
    there = np.zeros((6, 3))
    there[[0, 5, 3, 1], [0, 0, 1, 1]] = 1
    x, y = noise(2, 1, 3), noise(3, 1, 6)
    assert_near(to_slots(x, chosen, slot)[0], there @ x[0], 1e-6)
    assert_near(numpy(from_slots(y, chosen, slot))[0].sum(1), there.T @ y[0], 1e-6)


@pytest.mark.parametrize("router", [STILL, BOTH, FOUR, EXPERT_CHOICE], ids=lambda r: r.__name__)
def test_turns_equal_a_slot_for_each_token(router):
    """Rows of more tokens than slots; the last round is that of the fullest slot."""
    layer, x = made(mixture(router, 1.0)), noise(4, 2, 40)
    segments = np.array([[1] * 25 + [2] * 15, [1] * 30 + [0] * 10], "int32")
    competition = layer.competition(x, ops.convert_to_tensor(segments), 40, False)
    choices = layer.router(x, competition)
    assigned = in_rounds(choices, layer.router.num_experts)
    own = own_slot(choices, layer.router.num_experts, 40)
    assert 1 < assigned.slots < 40
    assert numpy(assigned.round).max() > 1
    rounds, expected = (layer.mix(x, choices.gate, slots) for slots in (assigned, own))
    assert_near(rounds, expected, 1e-6)


def test_tokens_of_a_slot_take_turns():
    choices = Choices(np.zeros((1, 18, 1), "int32"), None, np.arange(18)[None, :, None] != 4)
    slot, round, slots = in_rounds(choices, 2)
    assert slots == 3
    assert numpy(slot)[0, :7, 0].tolist() == [0, 1, 2, 0, 6, 2, 0]
    assert numpy(round)[0, [0, 1, 2, 3, 5, 6, 7], 0].tolist() == [0, 0, 0, 1, 1, 2, 1]


def test_one_expert_is_the_feed_forward():
    layer = made(mixture(part(SwitchRouter, num_experts=1)))
    w = {name: array for name, array in reference.weights(layer).items() if "scores" not in name}
    feed = FEED(name="feed")
    feed(X, Context())
    for variable in feed.trainable_variables:
        variable.assign(w["/".join(variable.path.split("/")[-2:])][0])
    assert_near(layer(X, Context())[0], feed(X, Context())[0], 1e-6)


def test_the_order_of_experts_does_not_matter():
    layer, order = made(mixture(BOTH, 0.7)), [2, 0, 3, 1]
    before = numpy(layer(X, Context(), training=True)[0])
    for variable in layer.trainable_variables:
        value = numpy(variable.value)
        moved = value[:, order] if "scores" in variable.path else value[order]
        variable.assign(moved)
    assert_near(layer(X, Context(), training=True)[0], before, 1e-6)


@routers
def test_padding_takes_no_slot_in_training_and_brings_none(router):
    """In a row that is half padding a token finds what it would find without the padding."""
    layer, x = made(mixture(router, 0.7)), noise(6, 2, 24)
    segments = np.array([[0] * 12 + [1] * 12, [1] * 12 + [0] * 12], "int32")
    tight = np.stack([x[0, 12:], x[1, :12]])
    with collect() as reported:
        y = numpy(layer(x, Context(segments=segments), training=True)[0])
    z = layer(tight, Context(), training=True)[0]
    assert_near(np.stack([y[0, 12:], y[1, :12]]), z, 1e-6)
    assert (y[segments == 0] == 0).all()
    dropped, tokens = reported.metrics()["expert_dropped_tokens"]
    assert float(tokens) == 24
    assert float(dropped) > 0 or router is BOTH


@pytest.mark.parametrize("router", [STILL, FOUR, EXPERT_CHOICE], ids=lambda r: r.__name__)
def test_evaluation_drops_nothing_and_mixes_nothing(router):
    """Under a capacity: packed equals alone, other examples and rows change no bit."""
    layer, x, cut = made(mixture(router, 0.3)), noise(4, 2, 40), 20
    segments = np.array([[1] * cut + [2] * cut] * 2, "int32")
    run = quick(lambda x, segments: layer(x, Context(segments=segments))[0])
    y = numpy(run(x, segments))
    alone = run(np.concatenate([x[:1, :cut], x[:1, cut:]]), np.ones((2, cut), "int32"))
    assert_near(y[0], np.concatenate(numpy(alone)), 1e-6)
    mine = (segments == 1)[..., None] & np.array([[[True]], [[False]]])
    for seed in range(10, 20):
        other = np.where(mine, x, noise(seed, 2, 40))
        np.testing.assert_array_equal(numpy(run(other, segments))[0, :cut], y[0, :cut])


def test_a_state_drops_nothing():
    layer = made(mixture(STILL, 0.3))
    y, state = layer(X, Context(), state=())
    assert state == ()
    np.testing.assert_array_equal(y, layer(X, Context())[0])
    assert np.abs(numpy(layer(X, Context(), training=True)[0]) - numpy(y)).max() > 1e-3


def test_rows_compete_in_larger_groups_in_training_alone():
    alone, shared = made(mixture(STILL, 0.5)), made(mixture(STILL, 0.5), group_size=2 * S)
    assert alone.group(X) == S
    assert shared.group(X) == 2 * S
    assert shared.group(np.zeros((5, S, 1))) == S  # 5 rows have no pairs
    with collect() as reported:
        y, _ = shared(X, Context(), training=True)
    assert y.shape == X.shape
    assert float(reported.metrics()["expert_dropped_tokens"][1]) == 2 * S
    other = np.concatenate([X[:1], noise(9, 1, S)])
    for training, same in ((True, False), (False, True)):
        last = [numpy(shared(x[::-1], Context(), training=training)[0])[1] for x in (X, other)]
        assert (last[0] == last[1]).all() == same


@pytest.mark.parametrize(
    ("factor", "capacity"), [(None, S), (1.25, 3), (2.0, 6), (0.1, 1), (100.0, S)]
)
def test_capacity(factor, capacity):
    assert made(mixture(SWITCH, factor)).capacity(S) == capacity
    assert made(mixture(SWITCH, 0.1), min_capacity=4).capacity(S) == 4
    assert made(mixture(SWITCH, 0.1), min_capacity=4).capacity(2) == 2


def test_figures_of_the_load():
    expert = np.array([[[0]] * 6 + [[1]] * 2 + [[2]]], "int32")
    real = np.array([[True] * 8 + [False]])
    dropped = np.array([[[False], [True]] * 4 + [[True]]])
    with collect() as reported:
        report_load(Choices(expert, None, real[..., None]), real, dropped, 4)
    found = {name: float(t) / float(w) for name, (t, w) in reported.metrics().items()}
    p = np.array([0.75, 0.25])
    assert found == pytest.approx(
        {
            "expert_load_entropy": -(p * np.log(p)).sum() / np.log(4),
            "expert_load_max_over_mean": 3.0,
            "expert_dead": 2.0,
            "expert_dropped_tokens": 0.5,
        }
    )


def test_the_names_of_the_figures_are_the_same_in_training_and_evaluation():
    for router in (SWITCH, TOP_TWO, part(NoisyTopKRouter, num_experts=4, k=2)):
        layer, names = made(mixture(router)), []
        for training in (True, False):
            with collect() as reported:
                layer(X, Context(), training=training)
            names.append(reported.names)
        assert names[0] == names[1]
        assert len(names[0]) == 6


def test_experts_begin_as_matrices_of_their_own():
    dense = ExpertDense(200, kernel_initializer=initializers.VarianceScaling(mode="fan_in"))
    dense(np.zeros((3, 1, 400), "float32"))
    kernel = numpy(dense.kernel.value)
    assert kernel.std(axis=(1, 2)) == pytest.approx([1 / 20] * 3, rel=0.02)
    assert np.abs(kernel[0] - kernel[1]).max() > 0.01


def test_gated_experts():
    gated = part(GatedFeedForward, intermediate_dim=24, activation=activations.silu)
    layer = made(mixture(STILL, expert=gated))
    slot, gate, slots = routing_of(layer, X, SEGMENTS, False)
    slot, gate = numpy(slot), numpy(gate)
    w, expected = reference.weights(layer), np.zeros_like(X, "float64")
    for g, s in np.argwhere(SEGMENTS > 0):
        e, x = slot[g, s, 0] // slots, X[g, s]
        a = x @ w["gate/kernel"][e]
        hidden = a * reference.sigmoid(a) * (x @ w["hidden/kernel"][e])
        expected[g, s] = gate[g, s, 0] * (hidden @ w["output/kernel"][e])
    assert_near(layer(X, Context(segments=SEGMENTS))[0], expected, 1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"capacity_factor": 0}, "moe.MixtureOfExperts.capacity_factor must be above 0, got 0"),
        ({"group_size": -1}, "moe.MixtureOfExperts.group_size"),
        ({"min_capacity": 0}, "moe.MixtureOfExperts.min_capacity"),
        ({"router": "switch"}, "moe.MixtureOfExperts.router must be a class .* got 'switch'"),
    ],
)
def test_what_does_not_fit_is_refused(changes, words):
    with pytest.raises(LayerError, match=words):
        part(mixture(SWITCH), **changes)()


def test_more_experts_than_tokens_are_refused_in_training():
    layer = part(mixture(part(SwitchRouter, num_experts=16)))(name="mixture")
    layer(X, Context())
    with pytest.raises(LayerError, match="16, more than the 12 tokens of a group: lower NUM_EXP"):
        layer(X, Context(), training=True)


def test_expert_choice_is_refused_where_the_future_is_hidden():
    layers = [mixture(EXPERT_CHOICE, 1.0)]
    with pytest.raises(
        LayerError, match=r"moe.MixtureOfExperts.router: ExpertChoiceRouter .*later"
    ):
        Stack(num_layers=1, layers=layers, mask=masks.causal)
    Stack(num_layers=1, layers=layers, mask=masks.bidirectional)
