"""Attention against NumPy: bias, mask, rotary positions, scale, another width of heads."""

import numpy as np
import pytest

from lm.errors import LayerError
from lm.nn.attention import CrossAttention, SelfAttention, attend_by_head
from lm.nn.branch import Context
from lm.nn.position import RotaryPosition
from tests.built import noise
from tests.catalogue import WIDTH, part
from tests.engine import assert_near, filled
from tests.nn import reference

B, T, S, H, K = 2, 7, 5, 2, 6
X, MEMORY = noise(1, B, T), noise(2, B, S)
BIAS = np.random.default_rng(3).standard_normal((1, H, T, T)).astype("float32")
MASK = np.tril(np.ones((B, T, T), bool)) & (np.arange(T) != 2)[None, None]
MASK[:, :3, 0] = True
POSITIONS = np.array([range(T), [0, 1, 2, 0, 1, 2, 3]], "int32")


def made(factory, context, **arguments):
    layer = factory(num_heads=H, name="attention", **arguments)
    filled(layer, X, context)
    return layer


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(("head_dim", "scale"), [(None, None), (K, 1.0)])
def test_self_attention(use_bias, head_dim, scale):
    context = Context(mask=MASK[:, None], position_bias=BIAS)
    layer = made(SelfAttention, context, use_bias=use_bias, head_dim=head_dim, scale=scale)
    factor = scale or (head_dim or WIDTH // H) ** -0.5
    wanted = reference.attention(X, X, reference.weights(layer), H, factor, MASK, BIAS)
    assert_near(layer(X, context)[0], wanted, 1e-6)


def test_rotary_self_attention():
    context = Context(mask=MASK[:, None], positions=POSITIONS)
    layer = made(SelfAttention, context, rotary=part(RotaryPosition))
    wanted = reference.attention(
        X,
        X,
        reference.weights(layer),
        H,
        (WIDTH // H) ** -0.5,
        MASK,
        rotate=lambda x: reference.rotate(x, POSITIONS),
    )
    assert_near(layer(X, context)[0], wanted, 1e-6)


def test_rotary_attention_sees_distances_alone():
    layer = made(SelfAttention, Context(positions=POSITIONS), rotary=part(RotaryPosition))
    here, there = (layer(X, Context(positions=POSITIONS + shift))[0] for shift in (0, 11))
    assert_near(there, here, 1e-5)


def test_cross_attention():
    mask = np.ones((B, T, S), bool)
    mask[1, :, 3:] = False
    context = Context(memory=MEMORY, memory_mask=mask[:, None])
    layer = made(CrossAttention, context)
    scale = (WIDTH // H) ** -0.5
    wanted = reference.attention(X, MEMORY, reference.weights(layer), H, scale, mask)
    assert_near(layer(X, context)[0], wanted, 1e-6)


def test_a_width_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="a width of 16 does not divide into num_heads = 3"):
        SelfAttention(num_heads=3, name="attention")(X, Context())


def test_a_bias_of_other_heads_is_refused_and_one_head_serves_all():
    layer = made(SelfAttention, Context())
    with pytest.raises(LayerError, match="num_heads = 2 and a bias of 3 heads: bind them alike"):
        layer(X, Context(position_bias=np.zeros((1, 3, T, T), "float32")))
    alike = np.repeat(BIAS[:, :1], H, axis=1)
    wanted = layer(X, Context(position_bias=alike))[0]
    assert_near(layer(X, Context(position_bias=BIAS[:, :1]))[0], wanted, 1e-6)


def test_one_query_attends_as_it_does_among_others():
    query = noise(0, 2, 3, 5)  # [B, T, H, K]
    key, value = noise(1, 2, 5, 4), noise(2, 2, 5, 4)  # [B, H, S, K]
    together = attend_by_head(query, key, value, None, None, lambda x: x)
    alone = attend_by_head(query[:, 1:2], key, value, None, None, lambda x: x)
    assert_near(alone, np.asarray(together)[:, 1:2], 1e-6)
