"""XLNet's two streams against their equations, and what each of them may know."""

import keras
import numpy as np
import pytest

from lm.errors import LayerError
from lm.nn.stack_state import Rows, StackCarry
from lm.nn.transformer_xl import Memory
from lm.nn.two_stream_attention import TwoStreamAttention
from lm.nn.two_stream_stack import Extras, Predicted, TwoStreamStack
from lm.objectives.permutation import attention_masks
from tests.catalogue import WIDTH, part
from tests.engine import assert_near, filled, numpy, quick
from tests.nn import reference

B, T, M, H, K = 2, 6, 4, 2, 6
NOISE = np.random.default_rng(0)
X, MEMORY = (NOISE.standard_normal((B, n, WIDTH)).astype("float32") for n in (T, M))
TYPES = np.array([[0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 1, 2]], "int32")
RANKS = np.array([[-1, 1, -1, 0, 2, 3], [4, -1, 2, -1, 0, 1]], "int32")
POSITIONS = np.array([[1, 3, 4], [0, 2, 5]], "int32")
ONES = np.ones((B, T), "int32")
DIRECTION = np.array([1, -1], "int32")
LAYER = part(TwoStreamAttention, num_heads=H, head_dim=K, memory_length=M)


def masks(ranks=RANKS, positions=POSITIONS):
    features = {"encoder_ranks": ranks, "encoder_predicted_positions": positions}
    return [numpy(mask) for mask in attention_masks(features).values()]


def stream(w, x, read, positions, visible, types, sign):
    """One stream: softmax(((q + u)·k + (q + v)·R W_r + (q + s)·G) K^-0.5) v · W_o, in float64."""
    memory, frequencies = len(read) - T, 10_000.0 ** (-np.arange(0, WIDTH, 2) / WIDTH)
    q, k, v = (
        (rows @ w[f"{name}/kernel"]).reshape(-1, H, K)
        for name, rows in (("query", x), ("key", read), ("value", read))
    )
    u, d, s, kernel, types_of = (
        w[f"layer_0_0/{name}"]
        for name in (
            "content_bias",
            "distance_bias",
            "type_bias",
            "distance_kernel",
            "type_embeddings",
        )
    )
    of_keys, y = np.concatenate([np.zeros(memory), types]), np.zeros((len(x), H, K))
    for i, t in enumerate(positions):
        keys = np.flatnonzero(np.concatenate([np.ones(memory, bool), visible[i]]))
        angles = (sign * (memory + t - keys))[:, None] * frequencies
        r = np.concatenate([np.sin(angles), np.cos(angles)], 1) @ kernel.reshape(WIDTH, -1)
        g = types_of[(of_keys[keys] == types[t]).astype(int)]
        logits = np.einsum("hk,nhk->hn", q[i] + u, k[keys])
        logits += np.einsum("hk,nhk->hn", q[i] + d, r.reshape(-1, H, K))
        logits += np.einsum("hk,nhk->hn", q[i] + s, g)
        p = np.exp(logits * K**-0.5)
        y[i] = np.einsum("hn,nhk->hk", p / p.sum(1, keepdims=True), v[keys])
    return y.reshape(len(x), -1) @ w["output/kernel"]


@pytest.fixture(scope="module")
def made():
    """A stack of one branch, without residual."""
    return stack([LAYER], 1)


@pytest.fixture(scope="module")
def deep():
    return stack([LAYER], 2)


def stack(layers, num_layers):
    made = TwoStreamStack(num_layers=num_layers, layers=layers, name="stack")
    filled(made, X, Rows(), Extras(Predicted(POSITIONS), TYPES))
    return made


def carry(memory=MEMORY, layers=1):
    return StackCarry(np.full(B, M, "int32"), (Memory(memory),) * layers)


def test_both_streams_are_their_equations(made):
    """One row of both streams gives what the content and the query stream give, each by itself."""
    w, (content, predicted) = reference.weights(made), masks()
    rows = Rows(segments=ONES, attention_mask=content, carried=np.ones(B, "int32"))
    given = Extras(Predicted(POSITIONS, predicted), TYPES, direction=DIRECTION)
    g, _ = made(X, rows, given, state=carry())
    h, after = made(X, rows, given._replace(predicted=None), state=carry())
    query = np.tile(w["stack/query_embedding"], (3, 1))
    for b in range(B):
        read = np.concatenate([MEMORY[b], X[b]]).astype("float64")
        shared = (TYPES[b], DIRECTION[b])
        assert_near(h[b], stream(w, X[b], read, range(T), content[b], *shared), 1e-6)
        assert_near(g[b], stream(w, query, read, POSITIONS[b], predicted[b], *shared), 1e-6)
    np.testing.assert_array_equal(numpy(after.residuals[0].inputs), X[:, -M:])


def test_some_predicted_positions_are_those_of_all(deep):
    everywhere = np.tile(np.arange(T, dtype="int32"), (B, 1))
    content, predicted = masks(positions=everywhere)
    rows = Rows(attention_mask=content)
    every, _ = deep(X, rows, Extras(Predicted(everywhere, predicted), TYPES))
    of_some = np.take_along_axis(predicted, POSITIONS[..., None], axis=1)
    some, _ = deep(X, rows, Extras(Predicted(POSITIONS, of_some), TYPES))
    expected = np.take_along_axis(numpy(every), POSITIONS[..., None], axis=1)
    assert_near(some, expected, 1e-6)


def test_a_predicted_token_is_unknown_until_its_turn(deep):
    """Bit for bit: not to itself in the query stream, nor to those of its rank or less."""
    content, predicted = masks()
    run = quick(lambda x, p: deep(x, Rows(attention_mask=content), Extras(p, TYPES))[0])
    before = numpy(run(X, Predicted(POSITIONS, predicted)))
    plain = numpy(run(X, None))
    for n in range(POSITIONS.shape[1]):
        other = X.copy()
        changed = POSITIONS[:, n]
        other[[0, 1], changed] = NOISE.standard_normal((B, WIDTH))
        y = numpy(run(other, Predicted(POSITIONS, predicted)))
        ranks = np.take_along_axis(RANKS, POSITIONS, axis=1)
        unknown = ranks <= ranks[:, n : n + 1]
        np.testing.assert_array_equal(y[unknown], before[unknown])
        assert unknown.all() or np.abs(y - before)[~unknown].max() > 1e-4
        assert np.abs(numpy(run(other, None)) - plain)[[0, 1], changed].max(-1).min() > 1e-4


def test_in_the_order_of_the_text_the_content_stream_is_causal(deep):
    ranks = np.tile(np.arange(T, dtype="int32"), (B, 1))
    content, _ = masks(ranks)
    other = X.copy()
    other[:, 3:] = NOISE.standard_normal((B, T - 3, WIDTH))
    y, z = (numpy(deep(x, Rows(attention_mask=content))[0]) for x in (X, other))
    np.testing.assert_array_equal(y[:, :3], z[:, :3])
    np.testing.assert_array_equal(content, np.tril(np.ones((B, T, T), bool)))


def test_a_row_after_its_memory_is_the_one_long_row(deep):
    """With attention to the left alone; bidirectional, the first row would have seen the second."""
    both = np.concatenate([MEMORY, X], axis=1)
    left = [np.tril(np.ones((B, n, n), bool)) for n in (M, T, M + T)]
    whole, _ = deep(both, Rows(attention_mask=left[2]))
    rows = Rows(attention_mask=left[0], carried=np.zeros(B, "int32"))
    _, after = deep(MEMORY, rows, state=deep.initial_carry(B))
    rows = Rows(attention_mask=left[1], carried=np.ones(B, "int32"))
    assert_near(deep(X, rows, state=after)[0], numpy(whole)[:, M:], 1e-6)


def test_the_memory_takes_in_the_first_part_of_a_row_alone(made):
    remembered = np.tile([1, 1, 1, 0, 0, 0], (B, 1)).astype("int32")
    rows = Rows(carried=np.array([1, 0], "int32"))
    _, after = made(X, rows, Extras(remembered=remembered), state=carry())
    inputs = numpy(after.residuals[0].inputs)
    np.testing.assert_array_equal(inputs[0], np.concatenate([MEMORY[0, 3:], X[0, :3]]))
    np.testing.assert_array_equal(inputs[1], np.concatenate([0 * MEMORY[1, 3:], X[1, :3]]))
    np.testing.assert_array_equal(numpy(after.positions), [M + 3, 3])


def test_nothing_goes_between_packed_examples_or_into_the_query_stream(deep):
    segments = np.array([[1, 1, 1, 2, 2, 2], [1, 1, 1, 1, 2, 0]], "int32")
    other = np.where((segments == 1)[..., None], X, NOISE.standard_normal(X.shape)).astype(
        "float32"
    )
    where = np.array([[0, 2], [1, 3]], "int32")
    y, z = (
        numpy(deep(x, Rows(segments=segments), Extras(Predicted(where), TYPES))[0])
        for x in (X, other)
    )
    np.testing.assert_array_equal(y, z)


def test_a_carry_of_another_length_is_refused(made):
    rows = Rows(carried=np.ones(B, "int32"))
    with pytest.raises(LayerError, match="memory_length = 4, but the carry holds 3"):
        made(X, rows, state=carry(MEMORY[:, 1:]))


def test_without_memory_nothing_is_carried():
    layer = part(TwoStreamAttention, num_heads=H, memory_length=0)
    assert not keras.tree.flatten(stack([layer], 1).initial_carry(B))


def test_an_odd_width_and_steps_are_refused(made):
    layer = TwoStreamAttention(num_heads=1, memory_length=M, name="attention")
    with pytest.raises(LayerError, match="an even width, got HIDDEN_DIM = 7"):
        layer.build((B, T, 7))
    with pytest.raises(LayerError, match="keeps no cache"):
        layer.initial_state(B, T)
