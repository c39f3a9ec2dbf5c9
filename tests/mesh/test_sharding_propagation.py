"""How arrays of a program are split, followed from the weights."""

import jax
import jax.numpy as jnp
import pytest

from lm.mesh.sharding_propagation import ShardingPropagation

B, T, D, H, K, F = 4, 6, 8, 2, 4, 16


def propagated(function, shapes, splits, *data):
    """Returns the bytes on one of two devices of every output, and whether it is data."""
    weights = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    program = jax.make_jaxpr(function)(*weights, *data).jaxpr
    found = ShardingPropagation(program, splits, {"model": 2})
    return [(found.bytes(v), found.is_data(v)) for v in program.outvars]


X = jax.ShapeDtypeStruct((B, T, D), "float32")
UNSPLIT = 4 * B * T


def test_a_product_with_a_split_width_is_split_until_it_is_summed():
    def feed_forward(up, down, x):
        hidden = jax.nn.relu(x @ up)
        return hidden, hidden @ down, up.T

    found = propagated(feed_forward, [(D, F), (F, D)], [(None, "model"), ("model", None)], X)
    assert found == [(UNSPLIT * F // 2, True), (UNSPLIT * D, True), (4 * D * F // 2, False)]


def test_heads_are_split_through_reshape_and_transpose():
    def attention(query, key, x):
        q = (x @ query).reshape(B, T, H, K)
        k = (x @ key).reshape(B, T, H, K)
        weights = jax.nn.softmax(jnp.einsum("bthk,bshk->bhts", q, k))
        return weights, jnp.einsum("bhts,bshk->bthk", weights, k).reshape(B, T, H * K)

    across = (None, "model")
    found = propagated(attention, [(D, H * K), (D, H * K)], [across, across], X)
    assert [size for size, _ in found] == [4 * B * H * T * T // 2, UNSPLIT * H * K // 2]


def test_a_mask_over_a_split_array_is_split_with_it():
    def dropped(up, x, noise):
        mask = noise > 0.5
        return jnp.where(mask, x @ up, 0.0), mask

    noise = jax.ShapeDtypeStruct((B, T, F), "float32")
    found = propagated(dropped, [(D, F)], [(None, "model")], X, noise)
    assert [size for size, _ in found] == [UNSPLIT * F // 2, B * T * F // 2]


@pytest.mark.parametrize(("split", "parts"), [((None, "model"), 2), (("model", None), 1)])
def test_rows_of_a_table_keep_the_split_of_the_width_alone(split, parts):
    tokens = jax.ShapeDtypeStruct((B, T), "int32")
    found = propagated(lambda table, t: jnp.take(table, t, axis=0), [(40, D)], [split], tokens)
    assert found == [(UNSPLIT * D // parts, True)]
