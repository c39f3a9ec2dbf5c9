"""Mixtures of experts against sums over experts in NumPy and one-hots, and what they refuse."""

import numpy as np
import pytest
from keras import activations, initializers, ops

from lm.errors import LayerError
from lm.nn import masks
from lm.nn.branch import Context
from lm.nn.feedforward import GatedFeedForward
from lm.nn.moe import ExpertDense, from_places, inverse, to_places
from lm.nn.noisy import NoisyTopKRouter
from lm.nn.reports import collect
from lm.nn.routers import SwitchRouter, report_load
from lm.nn.stack import Stack
from tests.built import WIDTH, noise
from tests.catalogue import EXPERT_CHOICE, FEED, SWITCH, TOP_TWO, mixture, part
from tests.engine import assert_all_near, assert_near, differentiate, fill, numpy
from tests.nn import reference

E, S = 4, 12
X = noise(1, 2, S)
SEGMENTS = np.array([[1] * 12, [1] * 4 + [2] * 3 + [0] * 5], "int32")


def made(factory, **changes):
    layer = part(factory, **changes)(name="mixture")
    layer(X, Context(segments=SEGMENTS))
    fill(layer)
    return layer


def expert(w, x, e):
    hidden = np.maximum(x @ w["hidden/kernel"][e] + w["hidden/bias"][e], 0)
    return hidden @ w["output/kernel"][e] + w["output/bias"][e]


def routing_of(layer, capacity):
    return layer.router(X, ops.convert_to_tensor(SEGMENTS > 0), capacity=capacity)


@pytest.mark.parametrize("router", [SWITCH, TOP_TWO, EXPERT_CHOICE], ids=lambda r: r.__name__)
def test_the_output_is_the_sum_of_gated_experts(router):
    layer, capacity = made(mixture(router, 0.7)), 2
    place, gate, _ = (numpy(y) for y in routing_of(layer, capacity))
    w, expected = reference.weights(layer), np.zeros_like(X, "float64")
    for g, s, k in np.argwhere(place < E * capacity):
        expected[g, s] += gate[g, s, k] * expert(w, X[g, s], place[g, s, k] // capacity)
    assert_near(layer(X, Context(segments=SEGMENTS))[0], expected, 1e-6)
    assert (place[SEGMENTS == 0] == E * capacity).all()


def test_gradients_equal_those_of_one_hots():
    """The same sum as products with tokens, experts and places as axes, which the layer avoids."""
    layer, capacity = made(mixture(TOP_TWO, 0.7)), 2

    def sparse():
        y, _ = layer(X, Context(segments=SEGMENTS))
        return ops.sum(ops.sin(y)), y

    def dense():
        place, gate, _ = routing_of(layer, capacity)
        hot = ops.one_hot(place, E * capacity + 1, dtype="float32")[..., :-1]  # [G, S, K, P]
        there = ops.einsum("gskp,gsd->pgd", hot, X)
        there = ops.reshape(there, (E, -1, WIDTH))
        y, _ = layer.experts(there, Context())
        y = ops.reshape(y, (E * capacity, 2, WIDTH))
        y = ops.einsum("gskp,gsk,pgd->gsd", hot, gate, y)
        return ops.sum(ops.sin(y)), y

    (y, found), (z, expected) = (
        differentiate(function, layer.trainable_variables)() for function in (sparse, dense)
    )
    assert_near(y, z, 1e-6)
    assert_all_near(found, expected, 1e-5)


def test_bringing_tokens_to_places_and_back_are_transposes():
    place = np.array([[[0, 5], [3, 1], [6, 6]]], "int32")  # 6 is nowhere
    token = numpy(inverse(place, 6)) // 2
    assert token.tolist() == [[0, 1, 3, 1, 3, 0]]
    there = np.zeros((6, 3))
    there[[0, 5, 3, 1], [0, 0, 1, 1]] = 1
    x, y = noise(2, 1, 3), noise(3, 1, 6)
    assert_near(to_places(x, token, place)[0], there @ x[0], 1e-6)
    assert_near(from_places(y, token, place)[0], there.T @ y[0], 1e-6)


def test_one_expert_is_the_feed_forward():
    layer = made(mixture(part(SwitchRouter, num_experts=1)))
    w = {name: array for name, array in reference.weights(layer).items() if "scores" not in name}
    feed = FEED(name="feed")
    feed(X, Context())
    for variable in feed.trainable_variables:
        variable.assign(w["/".join(variable.path.split("/")[-2:])][0])
    assert_near(layer(X, Context())[0], feed(X, Context())[0], 1e-6)


def test_the_order_of_experts_does_not_matter():
    layer, order = made(mixture(TOP_TWO, 0.7)), [2, 0, 3, 1]
    before = numpy(layer(X, Context())[0])
    for variable in layer.trainable_variables:
        value = numpy(variable.value)
        moved = value[:, order] if "scores" in variable.path else value[order]
        variable.assign(moved)
    assert_near(layer(X, Context())[0], before, 1e-6)


def test_padding_takes_no_place():
    """However much stands before it, a real token finds what it would find alone."""
    layer = made(mixture(SWITCH, 0.7))
    segments = np.array([[0] * 8 + [1] * 4], "int32")
    y = [numpy(layer(x, Context(segments=segments))[0]) for x in (X[:1], other(X[:1], 8))]
    np.testing.assert_array_equal(y[0], y[1])
    with collect() as reported:
        layer(X[:1], Context(segments=segments))
    dropped, tokens = reported.figures()["expert_dropped_tokens"]
    place = numpy(routing_of(layer, 2).place)
    assert float(tokens) == 4
    assert float(dropped) <= 2
    assert place.shape == (2, S, 1)


def other(x, count):
    y = x.copy()
    y[:, :count] = noise(7, len(x), count)
    return y


def test_a_state_drops_nothing():
    layer = made(mixture(SWITCH, 0.3))
    whole = made(mixture(SWITCH))
    for copy, variable in zip(whole.variables, layer.variables, strict=True):
        copy.assign(variable)
    y, state = layer(X, Context(), state=())
    assert state == ()
    assert_near(y, whole(X, Context())[0], 1e-6)
    assert np.abs(numpy(layer(X, Context())[0]) - numpy(y)).max() > 1e-3


def test_rows_share_places_in_larger_groups():
    alone, shared = made(mixture(SWITCH, 0.5)), made(mixture(SWITCH, 0.5), group_size=2 * S)
    assert alone.group(X, None) == S
    assert shared.group(X, None) == 2 * S
    assert shared.group(np.zeros((5, S, 1)), None) == S  # 5 rows have no pairs
    with collect() as reported:
        y, _ = shared(X, Context())
    assert y.shape == X.shape
    assert float(reported.figures()["expert_dropped_tokens"][1]) == 2 * S


@pytest.mark.parametrize(
    ("factor", "capacity"), [(None, S), (1.25, 3), (2.0, 6), (0.1, 1), (100.0, S)]
)
def test_capacity(factor, capacity):
    layer = made(mixture(SWITCH, factor))
    assert layer.capacity(S, None, False) == capacity
    assert layer.capacity(S, None, True) == capacity
    assert layer.capacity(S, (), False) == S
    assert made(mixture(SWITCH, 0.1), min_capacity=4).capacity(S, None, False) == 4


def test_figures_of_the_load():
    load = np.array([6, 2, 0, 0], "float32")
    place = np.array([[[0], [8], [1]]], "int32")
    with collect() as reported:
        report_load(ops.array(load), ops.array([[True, True, False]]), ops.array(place), 8)
    found = {name: float(t) / float(w) for name, (t, w) in reported.figures().items()}
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
    layer = made(mixture(SWITCH, expert=gated))
    place, gate, _ = (numpy(y) for y in routing_of(layer, S))
    w, expected = reference.weights(layer), np.zeros_like(X, "float64")
    for g, s in np.argwhere(SEGMENTS > 0):
        e, x = place[g, s, 0] // S, X[g, s]
        a = x @ w["gate/kernel"][e]
        hidden = a * reference.sigmoid(a) * (x @ w["hidden/kernel"][e])
        expected[g, s] = gate[g, s, 0] * (hidden @ w["output/kernel"][e])
    assert_near(layer(X, Context(segments=SEGMENTS))[0], expected, 1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"capacity_factor": 0}, "moe.MixtureOfExperts.capacity_factor must be above 0, got 0"),
        ({"eval_capacity_factor": -1.0}, "moe.MixtureOfExperts.eval_capacity_factor"),
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
